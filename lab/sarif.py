"""The schema of SARIF 2.1.0 as OASIS publishes it, out of the Go module pinned in sarif/."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from engine.obtain.pin import EngineError
from lab.builds import module_folder

_MODULE = "github.com/owenrumney/go-sarif/v3"
_FILE = "pkg/report/v210/sarif/schema.go"


@functools.cache
def schema() -> dict[str, Any]:
    """JSON Schema of draft 4. Raises EngineError where the module cannot be had, or keeps it elsewhere."""
    file = module_folder(Path(__file__).with_suffix(""), _MODULE) / _FILE
    try:
        # One Go constant, a raw string: no backtick can be in it.
        found = json.loads(file.read_text(encoding="utf-8").split("`")[1])
    except (OSError, IndexError, ValueError) as error:
        raise EngineError(f"{_MODULE} has no schema of SARIF in {_FILE}: {error}") from None
    if not isinstance(found, dict) or not str(found.get("id")).endswith("/sarif-schema-2.1.0.json"):
        raise EngineError(f"{_MODULE} has another schema in {_FILE}")
    return found
