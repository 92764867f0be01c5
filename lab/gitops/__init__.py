"""Flux as a site's cluster gets it: the real operator and controllers, the registry's content, a Git server."""
