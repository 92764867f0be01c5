"""The parts of an edge site, one folder each: what a human writes (spec), what follows from it (plan), what Pulumi creates (component)."""
