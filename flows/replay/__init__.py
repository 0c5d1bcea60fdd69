"""Replay history from the log: to verify the outputs (audit), or with other settings (what-if)."""

from flows.replay.audit import audit
from flows.replay.what_if import what_if

__all__ = ["audit", "what_if"]
