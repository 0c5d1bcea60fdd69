"""Replay: was it really so (audit), and what if it had been otherwise (what-if)."""

from flows.replay.audit import audit
from flows.replay.what_if import what_if

__all__ = ["audit", "what_if"]
