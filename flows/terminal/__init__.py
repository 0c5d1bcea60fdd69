"""Text, times, bars and signals of a terminal."""
