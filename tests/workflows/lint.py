"""`python -m tests.workflows.lint`: the workflows, judged by actionlint, which is built from its pinned Go module."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from engine.environment import PROJECT_ROOT
from engine.obtain.pin import EngineError
from lab.builds import go_program

MODULE = Path(__file__).parent / "actionlint"
WORKFLOWS = PROJECT_ROOT / ".github" / "workflows"


def actionlint() -> Path:
    """The program. Raises EngineError where there is no Go, or no module proxy."""
    return go_program(MODULE, "github.com/rhysd/actionlint/cmd/actionlint", "actionlint")


def judge(*files: Path) -> subprocess.CompletedProcess[str]:
    """What it says of workflow files. The shell in them is judged too: shellcheck is beside this Python."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [str(actionlint()), "-no-color", *map(str, files)]
    return subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)


def main() -> int:
    try:
        done = judge(*sorted(WORKFLOWS.glob("*.yml")))
    except EngineError as error:
        print(f"actionlint did not run: {error}", file=sys.stderr)
        return 1
    print(done.stdout, end="")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
