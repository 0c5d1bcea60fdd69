"""Reports on a log: status, clocks, exports."""
