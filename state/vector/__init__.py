"""The features of a stream as state: what it keeps by key, and the vector of a request."""
