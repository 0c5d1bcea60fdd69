"""Records that a shard writes, and their form as rows of tables."""
