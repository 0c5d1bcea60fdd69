"""Map foreign records to events, and keep the positions of their sources."""
