"""Files and foreign topics as events."""
