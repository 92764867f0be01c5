"""YAML files that people write: positions, layers, explanations, schema. Knows nothing of sites."""
