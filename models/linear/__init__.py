"""Linear learners over one design, and the mixture of all models."""
