"""Errors that a user is told in one line."""
