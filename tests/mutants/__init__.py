"""Small faults put into the program on purpose, each of which must be caught by a test that names what it breaks."""
