"""K3s in SELinux' domain: what the install script makes has the labels that K3s' rules name.

No machine here has SELinux: what a file's label is, and what the rules of k3s-selinux say of it, are stand-ins.
"""

from __future__ import annotations

import pytest

from components.host.machine import Machine
from components.k3s.plan import plan_cluster, plan_node
from tests.components.k3s.test_scripts import AGENT_STDIN, HEALTHZ, STDIN, box, spec_for
from tests.components.site_parts import machine
from tests.sandbox import Run, Sandbox, needs_root

__all__ = ["box"]

pytestmark = needs_root

SERVER = machine("a", distribution="rhel")
AGENT = machine("d", "10.0.0.14", distribution="rhel", role="agent")

_STAT = """
case "$1" in
  --format=%C)
    label=$(sed -n "s|^${!#} ||p" "$SANDBOX/labels" | tail -n 1)
    echo "system_u:object_r:${label:-bin_t}:s0" ;;
  *) /usr/bin/stat "$@" ;;
esac
"""
_RESTORECON = """
case "$*" in
  '-F /usr/local/bin/k3s') echo "/usr/local/bin/k3s container_runtime_exec_t" ;;
  '-RF /var/lib/rancher/k3s') echo "/var/lib/rancher/k3s container_var_lib_t" ;;
esac >>"$SANDBOX/labels"
"""


@pytest.fixture(autouse=True)
def confining(box: Sandbox) -> None:
    (box.home / "labels").touch()
    box.install("/usr/local/sbin/stat", _STAT)
    box.install("/usr/local/sbin/restorecon", _RESTORECON)


def up(box: Sandbox, node: Machine = SERVER, stdin: str = STDIN, **fields: object) -> Run:
    spec = spec_for(box, **{"selinux": True, **fields})
    assert box.run(plan_cluster(spec, [SERVER]).cluster_init_permit).code == 0
    done = box.run(plan_node(spec, node, [SERVER], labels={}).install, stdin=stdin, answers=[HEALTHZ])
    assert "restorecon" not in done.stderr, done.stderr
    return done


def steps(done: Run) -> list[str]:
    return [call for call in done.calls if call.startswith("restorecon") or " restart " in call]


@pytest.mark.parametrize(("node", "stdin", "unit"), [(SERVER, STDIN, "k3s"), (AGENT, AGENT_STDIN, "k3s-agent")])
def test_program_and_data_have_the_labels_of_k3s_rules_before_it_starts(
    box: Sandbox, node: Machine, stdin: str, unit: str
) -> None:
    done = up(box, node, stdin)
    assert done.code == 0, done.stderr
    labelled = ["restorecon -F /usr/local/bin/k3s", "restorecon -RF /var/lib/rancher/k3s"]
    assert steps(done) == [*labelled, f"systemctl --no-block restart {unit}"]
    again = up(box, node, stdin)
    assert (again.code, steps(again)) == (0, []), "a second run changes nothing"


def test_a_site_that_begins_to_confine_labels_what_is_there(box: Sandbox) -> None:
    assert steps(up(box, selinux=False)) == ["systemctl --no-block restart k3s"]
    assert len(steps(up(box))) == 3


def test_an_upgrade_labels_the_new_program(box: Sandbox) -> None:
    assert up(box).code == 0
    # Another file, with the label of its folder.
    (box.home / "labels").write_text("/var/lib/rancher/k3s container_var_lib_t\n")
    (box.mirror / "k3s").write_text((box.mirror / "k3s").read_text() + "# another release\n")
    done = up(box)
    assert steps(done) == ["restorecon -F /usr/local/bin/k3s", "systemctl --no-block restart k3s"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "/usr/local/bin/k3s does not get the label container_runtime_exec_t"),
        ("/usr/local/bin/k3s container_runtime_exec_t", "/var/lib/rancher/k3s does not get the label"),
    ],
)
def test_k3s_does_not_start_where_the_rules_are_not_loaded(box: Sandbox, given: str, said: str) -> None:
    (box.home / "labels").write_text(f"{given}\n")
    box.install("/usr/local/sbin/restorecon", "")
    done = up(box)
    assert done.code != 0
    assert said in done.stderr
    assert not [call for call in done.calls if " restart " in call]
