"""The stream `quotes` with a feature less."""

from dataclasses import replace

from flows.streams import quotes

stream = replace(quotes.stream, name="other", features=quotes.stream.features[:-1])
