"""Linear learners over one design, and the mixture of everything that answers."""
