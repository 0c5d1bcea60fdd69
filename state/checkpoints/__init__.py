"""Checkpoints in the home and in an object store."""
