"""Views of a queue, its tasks and cells, built from the state for every face."""
