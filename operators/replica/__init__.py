"""Copies of a shard that follow its flow."""
