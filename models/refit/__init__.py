"""A refit from Parquet files to a verdict."""
