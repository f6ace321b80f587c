"""The manager, its workers and their slots: the processes that run tasks."""
