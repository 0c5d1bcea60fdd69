"""H2O's model files, read and scored without Java."""
