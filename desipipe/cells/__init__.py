"""The text of a cell and what it stands for: options, names, a function."""
