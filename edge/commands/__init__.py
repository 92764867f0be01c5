"""The commands of `edge`, one file each.

A command takes its arguments and returns an exit code. What is slow to import is imported when the command runs, so
that `edge --help` is quick.
"""
