"""The main flow put together: partitions, fitter, demo, summary."""
