"""Fits in H2O."""
