"""Asking the hosts of a site over SSH. Read-only."""
