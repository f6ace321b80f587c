"""The text of cells: options, names, a function; what it defines and reads, and its state."""
