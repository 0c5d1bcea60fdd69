"""Admission of records, and the requests that wait for their label."""
