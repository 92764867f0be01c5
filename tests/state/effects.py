"""What this program does to live sites, as CHANGELOG.md says it: `python -m tests.state.effects` writes it there.

Made from the states of an earlier commit (`fixtures/`), by a preview of each with the program of this checkout.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.environment import PROJECT_ROOT
from stacks.loader import load_site
from tests.engine_run import stack
from tests.state.renew import fixture_commit, fixture_sites, read_fixture

CHANGELOG = PROJECT_ROOT / "CHANGELOG.md"
BEGIN, END = "<!-- made by `make effects` -->", "<!-- end -->"
_OPERATIONS = ("same", "update", "create", "replace", "delete")


def previewed(site: str, folder: Path) -> tuple[dict[str, Any], int]:
    """The preview of the present program on the site's earlier state, and how many resources that held."""
    deployment = folder / "state.json"
    deployment.write_text(read_fixture(site))
    with stack(folder / "stack", site) as run:
        run.pulumi("stack", "import", "--file", str(deployment))
        # The engine's own providers of plugins are not counted by a preview.
        held = len([resource for resource in run.resources() if "::default_" not in resource["urn"]])
        found: dict[str, Any] = json.loads(run.pulumi("preview", "--json", "--non-interactive").stdout)
    return found, held


def row(site: str, preview: Mapping[str, Any]) -> str:
    """The line of a site: resources by operation, and what that means for its hosts."""
    counts = [str(preview["changeSummary"].get(operation, 0)) for operation in _OPERATIONS]
    return f"| {site} | {' | '.join(counts)} | {_changed(site, preview['steps'])} |"


def _changed(site: str, steps: Sequence[Mapping[str, Any]]) -> str:
    """Scripts of hosts that run again, by role (the name without the host), and what is lost."""
    nodes = sorted((load_site(site).node(host) for host in load_site(site).hosts), key=len, reverse=True)
    roles: Counter[str] = Counter()
    for step in steps:
        kind, name = step["urn"].split("::")[-2:]
        node = next((one for one in nodes if name.startswith(f"{one}-")), "")
        if step["op"] in ("replace", "delete"):
            roles[f"**{step['op']} `{name}`**"] += 1
        elif step["op"] == "update" and node and kind.endswith("command:remote:Command"):
            roles[f"`{name.removeprefix(node)[1:]}`"] += 1
    return ", ".join(f"{role} x {count}" if count > 1 else role for role, count in sorted(roles.items())) or "nothing"


def block(rows: Sequence[str]) -> str:
    head = (
        f"The states that commit {fixture_commit()[:10]} left at the example sites, previewed with this program.\n"
        "Scripts of hosts run again where they are updated. They change what differs from what they find: K3s is\n"
        "restarted only where its release or its configuration is another one.\n\n"
        "| site | same | update | create | replace | delete | scripts of hosts that run again |\n"
        "|---|---:|---:|---:|---:|---:|---|"
    )
    return "\n".join([BEGIN, head, *rows, END])


def written() -> str:
    """What CHANGELOG.md has."""
    text = CHANGELOG.read_text(encoding="utf-8")
    return text[text.index(BEGIN) : text.index(END) + len(END)]


def main() -> int:
    rows = []
    for site in fixture_sites():
        with tempfile.TemporaryDirectory() as folder:
            rows.append(row(site, previewed(site, Path(folder))[0]))
        print(rows[-1], file=sys.stderr)
    CHANGELOG.write_text(CHANGELOG.read_text(encoding="utf-8").replace(written(), block(rows)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
