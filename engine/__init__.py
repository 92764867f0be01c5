"""How a run of the program meets the Pulumi engine: getting the CLI, its environment, and rehearsal.

Production needs nothing from here but the CLI. Components, stacks and policies never import this package.
"""
