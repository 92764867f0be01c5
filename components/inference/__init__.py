"""Servers of models, and what they share: where models fit, and one budget for each host."""
