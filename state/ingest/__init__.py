"""How records from outside become events, and how far they have been read."""
