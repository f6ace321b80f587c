"""Outputs of tasks, in the forms that notebooks and terminals show."""
