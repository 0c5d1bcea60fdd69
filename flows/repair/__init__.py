"""Repair of homes that an earlier version damaged: `headwater doctor --repair`."""
