"""Files in object stores and in the log."""
