"""The shard: the state machine of one partition."""
