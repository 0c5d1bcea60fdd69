"""The log in Kafka, and reading foreign topics."""
