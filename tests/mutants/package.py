"""Mutants of what is promised of sites in programs of others."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_INPUTS = "stacks/package/inputs.py"
_TEST = ("tests/package/test_package_inputs.py",)
_SCHEMA_TEST = ("tests/package/test_package_schema.py",)

PACKAGE: tuple[Mutant, ...] = (
    Mutant(
        "a secret in the text of a program is refused",
        _INPUTS,
        "elif not isinstance(value, pulumi.Output):",
        "elif False:",
        _TEST,
    ),
    Mutant(
        "no error of a program shows the value of a property",
        "stacks/package/provider.py",
        "explained(name, error), [])",
        'explained(name, error), [{"property_path": "secrets", "reason": "wrong"}])',
        _TEST,
    ),
    Mutant("a site of a program has the name of its resource", _INPUTS, "if site != name:", "if False:", _TEST),
    Mutant("whole numbers stay whole on their way through the engine", _INPUTS, "value.is_integer()", "False", _TEST),
    Mutant(
        "a block of several kinds is a union that its kind tells apart",
        "stacks/package/schema.py",
        'if tag := schema.get("discriminator"):',
        "if tag := None:",
        _SCHEMA_TEST,
    ),
    Mutant(
        "what defaults fill in may be left out of a program",
        "stacks/package/schema.py",
        "filled(site_shape().schema, site_layers(root))",
        "dict(site_shape().schema)",
        _SCHEMA_TEST,
    ),
)
