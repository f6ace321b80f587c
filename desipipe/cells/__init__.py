"""The text of cells: options, names, functions, definitions and states."""
