"""The parts of an edge site, one folder each: what a human writes (spec), what follows (plan), what Pulumi makes
(component)."""
