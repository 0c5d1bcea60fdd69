"""Whether a record takes part, and the requests that wait for their label."""
