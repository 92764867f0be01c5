"""Ollama, which serves language models."""
