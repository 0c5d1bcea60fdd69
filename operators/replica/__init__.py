"""Replicas: copies of a shard that follow its flow."""
