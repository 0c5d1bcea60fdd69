"""The log and the state derived from it; `state.read` gives history as polars frames."""

from state.reading import read as read
