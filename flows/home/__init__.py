"""The home directory, the settings file, and the log, Kafka and stores that the settings name."""
