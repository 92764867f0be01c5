"""YAML files that people write: positions, layers, explanations, schema. Generic: knows no particular model."""
