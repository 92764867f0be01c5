"""Providers with effect, for machines without the official plugins."""
