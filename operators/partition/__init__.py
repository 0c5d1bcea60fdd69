"""A partition: its input in order, its journal, its recovery and its processing loop."""
