"""Text from a site file is never code: each field of a site, with text that would be code, through all scripts.

Each field is tried twice. As the site file has it: refused where it is written, or in the scripts. And unseen by
validators, since a script must not depend on what they refuse. Each script that holds the text then runs
in an empty root directory with bash alone, on all branches that chance takes: no file may appear there, and none of the
commands that the text names may run.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from pydantic import BaseModel, ValidationError

from components import expected, shell
from components.egress import ENVIRONMENT
from components.host import nvidia
from components.host.plan import plan as plan_host
from components.k3s.audit import audit_probe
from components.k3s.plan import plan_cluster, plan_node, show_kubeconfig
from components.k3s.spec import K3sSpec
from components.mesh.tailscale.plan import plan as plan_tailscale
from components.mesh.tailscale.spec import TailscaleSpec
from components.network.plan import plan as plan_network
from components.network.spec import NetworkSpec
from components.place.outposts.plan import host_key_script, nodes_ready
from components.place.outposts.spec import InstanceCompute, OutpostsSpec
from components.registration.rancher.plan import plan as plan_rancher
from components.registration.rancher.spec import RancherSpec
from components.telemetry import host_health
from components.telemetry.spec import TelemetrySpec
from stacks.catalogue import PROJECT_ROOT, catalogue
from stacks.loader import load_site
from stacks.parts import entries, host_checks, places, proofs, view
from stacks.site import SiteSpec
from tests.components.network.authorities import SITE as SITE_CA
from tests.components.site_parts import VERSION
from tests.sandbox import bare_root, needs_root

HOSTILE = (
    "$(>marker)$(pwned)",
    "`>marker``pwned`",
    "';>marker;pwned;'",
    '";>marker;pwned;"',
    "x\n>marker\npwned\n",
    "a[$(>marker;pwned)]",
    "x\nEDGE_FILE\n>marker\npwned\n",
    "\\';>marker;pwned;\\\"",
    "}>marker;pwned;${x:-",
    "https://hs.example$(>marker;pwned)/",
)
"""Code for one place or another: words, quotes, comments, arithmetic, files, parameters, URLs."""

VALID = PROJECT_ROOT / "tests/fixtures/sites/valid"
Place = tuple[str | int, ...]


def _everything() -> SiteSpec:
    """A site with each part that leaves scripts, and each of their fields."""
    site = load_site("mill-tampere").model_dump(mode="json", exclude_unset=True)
    k3s = site["k3s"]
    k3s["airgap_images"] = k3s["releases"]
    k3s["registries"] = {
        "docker.io": {
            "endpoints": ["https://mirror.example.com"],
            "rewrite": {"^library/": "x/"},
            "login": "mirror",
            "ca": SITE_CA,
        }
    }
    site["network"] = {
        "proxy": {"url": "http://proxy.example.com:3128", "login": True, "no_proxy": [".example.com"]},
        "trusted_cas": {"site": SITE_CA},
    }
    k3s |= {"node_labels": {"example.com/line": "a"}, "tls_sans": ["api.example.com"]}
    site["labels"] = {"customer": "acme"}
    site["os"] = {**site.get("os", {}), "ntp_servers": ["time.example.com"]}
    site["telemetry"] = {**site.get("telemetry", {}), "host_health": True}
    site["hosts"][0] |= {"reapply": "again", "labels": {"example.com/rack": "1"}, "k3s_version": k3s["version"]}
    site["hosts"][1] |= {"via": site["hosts"][0]["name"], "node_ip": "10.77.0.9"}
    mesh = load_site("prod").mesh.model_dump(mode="json")
    site["mesh"] = {
        **mesh,
        "login_server": "https://hs.example.com",
        "advertise_routes": ["10.99.0.0/24"],
        "accept_routes": True,
    }
    return SiteSpec.model_validate(site)


def _with_packages() -> SiteSpec:
    """A site with a GPU, whose modules DKMS builds, and a repository with a suite."""
    site = yaml.safe_load((VALID / "nvidia-packages.yaml").read_text())
    site["os"]["nvidia"]["packages"]["nvidia-dkms-580-server-open"] = "580.159.04-1"
    site["os"]["nvidia"]["repositories"][0] |= {"suite": "noble", "components": ["main"]}
    site["k3s"] = {"version": VERSION, "releases": {VERSION: {"amd64": "1" * 64}}}
    return SiteSpec.model_validate(site)


def _one_server() -> SiteSpec:
    """A site whose only server has its data on another disk, and snapshots."""
    site = load_site("demo").model_dump(mode="json", exclude_unset=True)
    storage = {
        "endpoint": "https://s3.example.com",
        "bucket": "snapshots",
        "region": "eu",
        "folder": "x",
        "ca": SITE_CA,
    }
    datastore = {"kind": "embedded", "sqlite_snapshots": True, "snapshot_dir": "/data/snapshots", "s3": storage}
    site["k3s"] = {**site.get("k3s", {}), "data_dir": "/data/k3s", "datastore": datastore}
    site["hosts"][0] |= {"interface": "eno2"}
    return SiteSpec.model_validate(site)


@functools.cache
def sites() -> tuple[SiteSpec, ...]:
    """Sites that together have every template: one to three servers, agents, an external datastore, each system."""
    external = load_site(VALID / "two-servers-on-an-external-datastore.yaml", root=PROJECT_ROOT)
    return (
        _everything(),
        external,
        _one_server(),
        _with_packages(),
        *(
            load_site(name)
            for name in ("demo", "plant-osaka", "shelf-lyon", "store-madrid", "outpost-seattle", "outpost-frankfurt")
        ),
    )


def scripts(site: SiteSpec) -> Iterator[tuple[str, str]]:
    """Every script of ``site``, with what it is for."""
    seen = view(site, catalogue())
    checks, proof = host_checks(site, catalogue()), proofs(site, seen)
    for machine in seen.machines:
        yield from _texts(plan_host(machine, checks[machine.name], [one.script for one in proof[machine.name]]))
        if packages := nvidia.plan(machine):
            yield from _texts(packages)
        if machine.spec.reapply:
            yield "reapply", shell.comment(f"reapply: {machine.spec.reapply}")
    for entry in entries(site):
        if isinstance(entry.spec, K3sSpec):
            yield from _texts(plan_cluster(entry.spec, seen.servers))
            for server in seen.servers:
                yield "kubeconfig", show_kubeconfig(places(site, server))
            for machine in seen.machines:
                more: dict[str, Any] = {"psa_exempt": ("x",), "egress": seen.egress}
                yield from _texts(plan_node(entry.spec, machine, seen.servers, labels=seen.labels, **more))
        elif isinstance(entry.spec, TailscaleSpec):
            for machine in seen.machines:
                yield from _texts(plan_tailscale(site.site, machine, entry.spec, ENVIRONMENT if seen.egress else None))
        elif isinstance(entry.spec, OutpostsSpec):
            compute = entry.spec.compute
            if isinstance(compute, InstanceCompute):
                for machine in seen.machines:
                    yield "host key", host_key_script(machine.node, machine.spec.host_key)
            elif compute.nodes:
                yield "nodes ready", nodes_ready(site.site, entry.spec, compute.nodes)
        elif isinstance(entry.spec, NetworkSpec):
            for machine in seen.machines:
                yield from _texts(plan_network(seen.egress, machine))
        elif isinstance(entry.spec, TelemetrySpec):
            for machine in seen.machines:
                yield from _texts(host_health.plan(machine))
        elif isinstance(entry.spec, RancherSpec):
            yield from _texts(plan_rancher(entry.spec, seen))
    yield "probe", expected.probe()
    yield "audit", audit_probe()


def _texts(plan: Any) -> Iterator[tuple[str, str]]:
    for field in dataclasses.fields(plan):
        value = getattr(plan, field.name)
        if isinstance(value, str) and value.startswith("# shellcheck"):
            yield f"{type(plan).__module__}.{field.name}", value


def fields(value: Any, at: Place = ()) -> Iterator[Place]:
    """Where text stands in a site: values, and keys of tables."""
    if isinstance(value, str):
        yield at
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from fields(getattr(value, name), (*at, name))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield (*at, key, "<key>")
            yield from fields(item, (*at, key))
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from fields(item, (*at, index))


def changed(value: Any, at: Place, text: str) -> Any:
    """``value`` with ``text`` at one place, and nothing checked."""
    if not at:
        return text
    first, rest = at[0], at[1:]
    if isinstance(value, BaseModel):
        return value.model_copy(update={str(first): changed(getattr(value, str(first)), rest, text)})
    if isinstance(value, dict):
        if rest == ("<key>",):
            return {(text if key == first else key): item for key, item in value.items()}
        return {key: changed(item, rest, text) if key == first else item for key, item in value.items()}
    return tuple(changed(item, rest, text) if index == first else item for index, item in enumerate(value))


def kind_of(at: Place) -> str:
    """A field's name in a site file, without the indices of one site."""
    return ".".join("[]" if isinstance(step, int) else step for step in at)


@dataclasses.dataclass
class Tried:
    """What became of the texts."""

    fields: set[str] = dataclasses.field(default_factory=set)
    values: int = 0
    refused: int = 0
    """Values that no site file can hold."""
    in_scripts: set[str] = dataclasses.field(default_factory=set)
    """Fields whose text reaches a script."""
    scripts: dict[tuple[str, str, str], str] = dataclasses.field(default_factory=dict)
    """One script of each kind for each field and text."""


@functools.cache
def tried() -> Tried:
    """All fields of all sites, each with every text; the scripts that hold one."""
    result = Tried()
    for site in sites():
        plain = site.model_dump(mode="python", exclude_unset=True)
        for at in fields(site):
            kind = kind_of(at)
            if kind in result.fields:
                continue
            result.fields.add(kind)
            for number, text in enumerate(HOSTILE):
                result.values += 1
                written = _as_written(plain, at, text)
                result.refused += written is None
                # Unseen by validators; what reaches no script as one text does not as another.
                unseen = [changed(site, at, text)] if number == 0 or kind in result.in_scripts else []
                for one in (*([written] if written else []), *unseen):
                    for label, script in _holding(one):
                        result.in_scripts.add(kind)
                        result.scripts.setdefault((kind, text, label), script)
    return result


def _as_written(plain: Any, at: Place, text: str) -> SiteSpec | None:
    try:
        return SiteSpec.model_validate(changed(plain, at, text))
    except (ValidationError, KeyError, TypeError):
        return None


def _holding(site: SiteSpec) -> list[tuple[str, str]]:
    try:
        return [(label, script) for label, script in scripts(site) if "marker" in script]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, StopIteration):
        return []  # refused by the plan: no script at all


_STAND_IN = """
# Nothing but bash is here. What a script asks of the machine is answered by chance.
exec 2>/dev/null
set +eu
RANDOM=$1
command_not_found_handle() {
  [ "$1" != pwned ] || : >/pwned
  local answers=("${!#}" Running yes 1 "$RELEASE" '')
  printf '%s\\n' "${answers[RANDOM % 6]}"
  return $((RANDOM % 2))
}
"""
_GOES_ON = """
fail() { printf '%s\\n' "$*"; }
exit() { :; }
slept=0
sleep() {
  SECONDS=$((SECONDS + 200))
  [ $((++slept)) -lt 20 ] || builtin exit
}
trap() { :; }
exec() { :; }
PATH=/nothing
set +eu
"""
_RUN = """
cd /
number=0
for script in /scripts/*; do
  bash "$script" $((++number)) </secrets >/dev/null 2>/dev/null
  for made in /marker /pwned; do
    if [ -e "$made" ]; then echo "$script made $made"; fi
  done
  [ ! -e /marker ] && [ ! -e /pwned ] || exit 0
done
echo "$number scripts ran"
"""


def ran(root: Path, texts: list[str]) -> str:
    """What happened when ``texts`` ran in ``root``: a line for each file that should not be there."""
    for number, text in enumerate(texts):
        begins = max((text.index(part) + len(part) for _, part in shell.prelude() if part in text), default=0)
        goes_on = _GOES_ON if begins else ""
        (root / f"scripts/{number:05}").write_text(_STAND_IN + text[:begins] + goes_on + text[begins:])
    done = subprocess.run(
        ["unshare", "--net", "--pid", "--fork", "--kill-child", "chroot", root, "/bin/bash", "-c", _RUN],
        env={"PATH": "/bin:/usr/bin:/sbin:/usr/sbin", "RELEASE": VERSION},
        capture_output=True,
        text=True,
        timeout=900,
        check=True,
    )
    return done.stdout


def test_the_sites_tried_here_have_every_template(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: set[str] = set()
    template = shell._template

    def watched(path: str) -> jinja2.Template:
        rendered.add(path)
        return template(path)

    monkeypatch.setattr(shell, "_template", watched)
    shell.prelude.cache_clear()
    for site in sites():
        list(scripts(site))
    folder = Path(shell.__file__).parent
    every = {str(path.relative_to(folder)) for path in folder.rglob("*.j2")}
    included = {name for path in every for name in re.findall(r"{% include '([^']+)'", (folder / path).read_text())}
    assert every - included == rendered


@needs_root
def test_no_text_of_a_site_runs_as_code(tmp_path: Path) -> None:
    result = tried()
    held = result.scripts
    print(
        f"{len(result.fields)} fields, {result.values} values: {result.refused} refused where they are written;"
        f" {len(result.in_scripts)} fields reach {len(held)} scripts"
    )
    assert len(result.fields) > 100
    assert {"mesh.login_server", "hosts.[].name", "k3s.api_address", "site"} <= result.in_scripts
    assert ran(bare_root(tmp_path), list(held.values())) == f"{len(held)} scripts ran\n"


@needs_root
@pytest.mark.parametrize(
    ("text", "script"),
    [
        (HOSTILE[0], "fail {}"),
        (HOSTILE[0], 'fail "{}"'),
        (HOSTILE[0], 'say "{}"\nexit 1\n'),
        (HOSTILE[0], 'if curl x; then fail "{}"; fi'),
        (HOSTILE[0], 'curl x || fail "{}"'),
        (HOSTILE[1], 'say "{}"'),
        (HOSTILE[2], "say '{}'"),
        (HOSTILE[4], "# {}"),
        (HOSTILE[5], "((x = {}))"),
        (HOSTILE[6], "cat <<'EDGE_FILE'\n{}\nEDGE_FILE"),
    ],
)
def test_text_that_is_not_quoted_is_noticed(tmp_path: Path, text: str, script: str) -> None:
    plain = shell.without_prelude("prelude.sh.j2") + "\n" + script.replace("{}", text) + "\n"
    assert "made /marker" in ran(bare_root(tmp_path), [plain] * 20)  # twenty throws of the dice
