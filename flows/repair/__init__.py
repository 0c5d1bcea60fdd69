"""Healing homes that an earlier version let be broken: `headwater doctor --repair`."""
