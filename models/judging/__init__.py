"""Evidence on models: comparison, drift, and thresholds that can be trusted."""
