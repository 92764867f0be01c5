"""Policies: what a site may not do, as pure rules, and the adapters that feed them."""
