"""Evidence: which model is better, since when one is wrong, from where it can be trusted."""
