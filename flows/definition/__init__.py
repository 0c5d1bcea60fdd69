"""Compare today's stream definition with the one that a home's outputs were made by."""
