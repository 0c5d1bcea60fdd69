"""Read files and foreign topics as events."""
