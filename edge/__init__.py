"""The `edge` command: check, preview, roll out, inspect. Comfort over the same program that `pulumi up` runs."""
