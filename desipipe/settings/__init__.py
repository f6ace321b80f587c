"""Settings of the user's process that go with its tasks, and are put back after."""
