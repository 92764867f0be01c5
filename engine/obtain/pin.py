"""The version of Pulumi that this project uses, and the error when it cannot be had."""

# Must match `pulumi` in requirements.txt and the modules in pulumi_cli/go.mod; tests hold the three together.
PULUMI_VERSION = "3.260.0"


class EngineError(Exception):
    """No usable engine. The message names what is missing and what to do."""
