"""Errors that a user sees as one line."""
