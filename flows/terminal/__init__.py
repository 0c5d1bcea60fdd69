"""Terminal output: plain text, times, progress bars; and signals."""
