"""Fit models in H2O."""
