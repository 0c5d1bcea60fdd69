"""The log in Kafka, and the topics of others."""
