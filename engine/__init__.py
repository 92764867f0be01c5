"""How a run of the program meets the Pulumi engine: obtaining the CLI, its environment, and rehearsal.

Components, stacks and policies never import this package: `pulumi up` with the official CLI runs nothing of it. A real
`edge up` uses ``obtain.cli`` (finds the CLI), ``environment`` (its variables) and ``serving`` (the local port on which
the engine calls the program). ``stand_in`` runs only where the official Python language host is missing. ``rehearsal``
is for `edge check`, `edge drift` and `--rehearse`.
"""
