"""Read H2O's model files (MOJO), and score them without Java."""
