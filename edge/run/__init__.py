"""Running the program: one site in this process, many in worker processes."""
