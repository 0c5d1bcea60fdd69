"""The home, its settings, and what they name: the log, Kafka, stores."""
