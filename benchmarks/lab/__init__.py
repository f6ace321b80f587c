"""What the panel costs, in a browser."""
