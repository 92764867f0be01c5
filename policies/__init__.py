"""Policies: what a site may not do, as pure rules, and the adapters that feed them."""

OWN_RULES = "own_rules.py"
"""A company's own rules, in the folder of its pack."""

CONFIG_FILE = "config.json"
"""A company's settings, in the folder of its pack. Read when it exists; otherwise the defaults apply."""

WAIVERS_FILE = "waivers.yaml"
"""A company's waivers, in the folder of its pack. Read when it exists."""
