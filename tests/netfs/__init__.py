"""Two hosts that share a folder over a real network filesystem, on one machine."""
