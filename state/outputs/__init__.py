"""The records that a shard writes, and the same as rows of tables."""
