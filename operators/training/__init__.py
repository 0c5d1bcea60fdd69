"""Training sets, fits, and the models they publish."""
