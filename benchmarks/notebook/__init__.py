"""desipipe in a notebook: a real kernel, and what a front end sees of it."""
