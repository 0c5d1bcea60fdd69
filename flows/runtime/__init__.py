"""The main flow, assembled: partitions, fitter, demo, summary."""
