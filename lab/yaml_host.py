"""The language host of YAML programs: the official one, or built from the Go module pinned in yaml_host/.

An official Pulumi has it beside its `pulumi`. Where the CLI itself was built from Go modules, there is none.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from engine.obtain.cli import locate
from engine.obtain.pin import EngineError
from lab.builds import go_program

NAME = "pulumi-language-yaml"
_PINS = Path(__file__).with_name("yaml_host")
_PACKAGE = f"github.com/pulumi/pulumi-yaml/cmd/{NAME}"


def folder() -> Path:
    """The folder with the host, for PATH; built where there is no official one. Raises EngineError with one line."""
    cli = locate()
    found = shutil.which(NAME, path=str(Path(cli.path).resolve().parent)) or shutil.which(NAME)
    return Path(found).parent if found else go_program(_PINS, _PACKAGE, NAME).parent


def _main() -> None:
    try:
        print(folder() / NAME)
    except EngineError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    _main()
