"""Real hosts on one machine, for tests."""
