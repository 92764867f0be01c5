"""What is expected on a host is what the scripts leave there: both run for real, in a sandbox."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from components.expected import Expected, answers, asked, differences, download, file, probe, unit
from components.host import plan as host_plan
from components.host.machine import Machine
from components.host.spec import OsSpec
from components.k3s.plan import plan_cluster, plan_node
from components.shell import secret_lines
from tests.components.host.test_plan import OS
from tests.components.k3s.test_scripts import AGENT_STDIN, CA, HEALTHZ, K3S_THAT_RUNS, STDIN, SYSTEMCTL
from tests.components.kernel import SYSCTL
from tests.components.site_parts import AGENT, SERVERS, VERSION, k3s, machine
from tests.sandbox import Sandbox, needs_root

STACK = secret_lines(["0123456789abcdef"])

_SYSTEMCTL = f"""
is() {{ [ -e "$SANDBOX/$1-${{2%.service}}" ] && echo "$1" || echo "$3"; }}
unit=${{!#}}
case $* in
  is-active*)
    for unit in "$@"; do [ ! -e "$SANDBOX/active-${{unit%.service}}" ] || exit 0; done
    exit 3 ;;
  is-enabled*) [ "$(is enabled "$unit" no)" = enabled ] ;;
  enable*)
    for unit in "${{@:2}}"; do touch "$SANDBOX/enabled-${{unit%.service}}"; done ;;
  restart*edge-*)
    for unit in "${{@:2}}"; do touch "$SANDBOX/active-${{unit%.service}}"; done ;;
  show*LoadState*) echo loaded ;;
  show*.service*)
    for unit in "$@"; do
      case $unit in *.service | *.timer | *.socket) printf 'ActiveState=%s\\nUnitFileState=%s\\n\\n' \\
        "$(is active "$unit" inactive)" "$(is enabled "$unit" disabled)" ;; esac
    done ;;
  *) {SYSTEMCTL} ;;
esac
"""


class Box(Sandbox):
    """A host that says what the probe says of it."""

    def __init__(self, home: Path) -> None:
        super().__init__(
            home,
            {
                "sysctl": SYSCTL,
                "systemctl": _SYSTEMCTL,
                "modprobe": "",
                "hostnamectl": 'hostname "$2"',
                "ip": "echo default via 10.0.0.1",
                "k3s-release": K3S_THAT_RUNS,
            },
        )
        self.path("/usr/local/sbin/k3s-release").rename(self.mirror / "k3s")
        (self.answered / "cacerts").write_text(CA)

    def apply(self, script: str, *, stdin: str = "") -> None:
        done = self.run(script, stdin=stdin, answers=[HEALTHZ])
        assert done.code == 0, done.stderr

    def differences(self, expected: tuple[Expected, ...], *, before: str = ":") -> dict[tuple[str, str], str | None]:
        """What differs, by kind and name, once ``before`` has been done to the host."""
        done = self.run(f"{before}\n{probe()}", stdin=asked(expected))
        assert done.code == 0, done.stderr
        return {(one.kind, one.name): found for one, found in differences(expected, answers(done.stdout))}


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "box")


def prepared(os: OsSpec) -> host_plan.HostPlan:
    return host_plan.plan(machine("a", os=os))


def installed(box: Box, node: Machine) -> tuple[Expected, ...]:
    """K3s on the box as ``node``; what is expected of it."""
    digest = hashlib.sha256((box.mirror / "k3s").read_bytes()).hexdigest()
    spec = k3s(api_address="10.0.0.10", releases={VERSION: {"amd64": digest}})
    planned = plan_node(spec, node, SERVERS, labels={})
    if node.is_server:
        box.apply(plan_cluster(spec, SERVERS).cluster_init_permit)
    box.apply(planned.install, stdin=STDIN if node.is_server else AGENT_STDIN)
    return planned.expected


def test_the_probe_is_as_reviewed(golden: Callable[[str, str], None]) -> None:
    golden("probe.sh", probe())


def test_a_secret_is_looked_at_from_outside_only() -> None:
    for node in (SERVERS[0], AGENT):
        looked_at = plan_node(k3s(api_address="10.0.0.10"), node, SERVERS, labels={}).expected
        token = [one for one in looked_at if one.name.endswith("token")]
        assert {one.kind for one in token} == {"mode"}
        assert len(token) == (2 if node is SERVERS[0] else 1)


def test_a_file_that_is_gone_is_one_difference_and_one_of_another_mode_is_another() -> None:
    expected = file("/etc/a", "0600", "text") + file("/etc/secret", "0600", None)
    assert [(one.kind, one.name) for one, _ in differences(expected, {})] == [
        ("content", "/etc/a"),
        ("mode", "/etc/secret"),
    ]
    found = {("content", "/etc/a"): expected[0].value, ("mode", "/etc/a"): "0644", ("mode", "/etc/secret"): "0600"}
    assert differences(expected, found) == [(expected[1], "0644")]


def test_a_release_that_is_known_has_its_name() -> None:
    looked_at = plan_node(k3s(), SERVERS[0], SERVERS[:1], labels={}).expected
    (binary,) = [one for one in looked_at if one.kind == "content" and one.name.endswith("/k3s")]
    assert binary.called[binary.value] == VERSION
    assert binary.called["c" * 64] == "v1.37.1+k3s1"


@needs_root
@pytest.mark.parametrize("distribution", OS)
def test_a_host_is_as_expected_once_it_has_been_prepared(box: Box, distribution: str) -> None:
    planned = prepared(OS[distribution])
    assert len(box.differences(planned.expected)) > 10
    box.apply(planned.base, stdin=STACK)
    assert box.differences(planned.expected, before="hostname site-a") == {}


@needs_root
@pytest.mark.parametrize("node", [SERVERS[0], AGENT], ids=["server", "agent"])
def test_a_node_is_as_expected_once_k3s_has_been_installed(box: Box, node: Machine) -> None:
    assert box.differences(installed(box, node)) == {}


@needs_root
@pytest.mark.parametrize(
    ("harm", "kind", "name", "found"),
    [
        ("echo vm.overcommit_memory=0 >>$SANDBOX/kernel", "sysctl", "vm.overcommit_memory", "0"),
        ("echo >>/etc/sysctl.d/91-edge.conf", "content", "/etc/sysctl.d/91-edge.conf", "*"),
        ("rm /etc/modules-load.d/edge.conf", "content", "/etc/modules-load.d/edge.conf", None),
        ("chmod 0600 /etc/flatcar/update.conf", "mode", "/etc/flatcar/update.conf", "0600"),
        (
            "sed -i s/off/reboot/ /etc/flatcar/update.conf",
            "setting",
            "/etc/flatcar/update.conf REBOOT_STRATEGY",
            "reboot",
        ),
        ("rm $SANDBOX/active-systemd-timesyncd", "active", "systemd-timesyncd.service", "inactive"),
        ("rm $SANDBOX/active-update-engine", "active", "update-engine.service", "inactive"),
        ("rm $SANDBOX/active-edge-os-updates.timer", "active", "edge-os-updates.timer", "inactive"),
    ],
)
def test_what_was_changed_by_hand_is_found_and_the_script_puts_it_right(
    box: Box, harm: str, kind: str, name: str, found: str | None
) -> None:
    planned = prepared(OsSpec())
    box.apply(planned.base, stdin=STACK)
    box.apply(f"hostname site-a\n{harm}")
    differing = box.differences(planned.expected, before="hostname site-a")
    assert set(differing) == {(kind, name)}
    assert found == "*" or differing[kind, name] == found
    box.apply(f"hostname site-a\n{planned.base}", stdin=STACK)
    assert box.differences(planned.expected, before="hostname site-a") == {}


@needs_root
@pytest.mark.parametrize(
    ("harm", "difference"),
    [
        ("chmod 0644 /etc/rancher/k3s/token", ("mode", "/etc/rancher/k3s/token")),
        ("rm /etc/rancher/k3s/agent-token", ("mode", "/etc/rancher/k3s/agent-token")),
        ("echo x >>/etc/rancher/k3s/config.yaml", ("content", "/etc/rancher/k3s/config.yaml")),
        ("echo x >>/opt/bin/k3s", ("content", "/opt/bin/k3s")),
        ("rm $SANDBOX/active-k3s", ("active", "k3s.service")),
        ("rm $SANDBOX/enabled-k3s", ("enabled", "k3s.service")),
    ],
)
def test_what_was_changed_of_k3s_is_found_and_installing_puts_it_right(
    box: Box, harm: str, difference: tuple[str, str]
) -> None:
    expected = installed(box, SERVERS[0])
    box.apply(harm)
    assert set(box.differences(expected)) == {difference}
    assert box.differences(installed(box, SERVERS[0])) == {}


@needs_root
def test_looking_changes_nothing(box: Box) -> None:
    planned = prepared(OsSpec())
    box.apply(planned.base, stdin=STACK)
    before = {path: path.lstat().st_ctime_ns for path in box.disk.rglob("*")}
    done = box.run(probe(), stdin=asked(planned.expected))
    assert {path: path.lstat().st_ctime_ns for path in box.disk.rglob("*")} == before
    assert {call.split()[0] for call in done.calls} == {"systemctl", "sysctl"}
    assert len(done.calls) == 2, "one call for all units, one for all settings"
    assert done.stderr == ""


def test_units_and_downloads_are_looked_at_in_full() -> None:
    assert {one.kind for one in unit("k3s.service")} == {"active", "enabled"}
    assert {one.kind for one in download("/opt/bin/k3s", "0755", "a" * 64)} == {"content", "mode"}
