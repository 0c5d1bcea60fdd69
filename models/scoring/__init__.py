"""Online, offline and residual model together, in one compiled call."""
