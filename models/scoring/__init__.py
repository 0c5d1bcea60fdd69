"""Online, offline and residual models together, in one compiled call."""
