"""Trust between users, and secrets that others must not read."""
