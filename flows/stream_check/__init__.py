"""A stream's definition tried on files of events, without a home."""
