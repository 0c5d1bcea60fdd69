"""Try a stream's definition on files of events, without a home."""
