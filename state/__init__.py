"""The log, what follows from it, and `state.read`, which gives history as polars frames."""

from state.reading import read as read
