"""Live sites across a change of the program: the state that an earlier commit made, previewed on this one."""
