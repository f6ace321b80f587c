"""Displays under the cells of a notebook."""
