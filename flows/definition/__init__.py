"""The definition that a home was begun with, and how today's differs from it."""
