"""`edge check` and the engine see the same site: the differential test of the two ways to run the program."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.run import program
from edge.run.program import Configuration
from engine.rehearsal.in_process import Recording
from stacks.configuration import PLACEHOLDER
from stacks.loader import load_site, site_names
from stacks.parts import required
from stacks.site import SiteSpec
from tests.engine_run import stack
from tests.registered import is_the_engines, of_recording, of_state


def recorded(spec: SiteSpec) -> Recording:
    config = {f"edge:{need.key}": PLACEHOLDER + need.key for need in required(spec)}
    return program.recorded(spec, Configuration(config, frozenset(config)))


@pytest.mark.engine
@pytest.mark.parametrize("site", site_names())
def test_check_and_engine_agree_on_every_resource(site: str, tmp_path: Path) -> None:
    with stack(tmp_path / "stack", site) as run:
        run.up()
        state = {r["urn"]: of_state(r) for r in run.resources("--show-secrets") if not is_the_engines(r)}
    recording = recorded(load_site(site))
    assert not recording.problems
    checked = {r.urn: of_recording(r) for r in recording.resources}
    assert checked.keys() == state.keys()
    for urn, resource in checked.items():
        assert resource == state[urn], urn
