"""`crane`, which asks registries for manifests, built from the Go module pinned in crane/."""

from __future__ import annotations

from pathlib import Path

from lab.builds import go_program

_CRANE = Path(__file__).with_name("crane")


def crane() -> Path:
    """The program `crane`. Raises EngineError with one clear line where it cannot be built."""
    return go_program(_CRANE, "github.com/google/go-containerregistry/cmd/crane", "crane")
