"""Scripts around an Outpost, run for real: real bash, curl-shaped answers of an API server, real SSH keys."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from components.place.outposts.plan import host_key_script, nodes_ready
from components.place.outposts.spec import EksLocalCompute
from components.shell import secret_lines
from tests.components.place.place_parts import EKS, EKS_NODES, outposts
from tests.sandbox import Run, Sandbox, needs_root

pytestmark = needs_root

# As the API server writes it for a client that does not ask for it to be pretty.
NODE = '{"status":{"conditions":[{"type":"MemoryPressure","status":"False"},{"type":"Ready","status":"%s"}]}}'
AWS = """
[ -e "$SANDBOX/aws-refuses" ] && { echo "Unable to locate credentials" >&2; exit 1; }
echo k8s-aws-v1.MARKER
"""
CURL = """
given=$(cat)
[[ $given == *'url = "https://cluster.invalid/api/v1/nodes?pretty=false"'* ]] || exit 3
[[ $given == *'header = "Authorization: Bearer k8s-aws-v1.MARKER"'* ]] || exit 22
n=$(cat "$SANDBOX/asked" 2>/dev/null || echo 0)
echo $((n + 1)) >"$SANDBOX/asked"
cat "$SANDBOX/nodes-$n" 2>/dev/null || cat "$SANDBOX/nodes"
"""


class Operator:
    """The machine that the program runs on, and the nodes that the cluster shows each time it is asked."""

    def __init__(self, home: Path, *, minutes: int = 2) -> None:
        # Each sleep is a minute: deadlines pass without waiting.
        self.sandbox = Sandbox(home, {"aws": AWS, "curl": CURL, "sleep": ""})
        spec = outposts(compute={**EKS, "nodes": {**EKS_NODES, "join_minutes": minutes}})
        assert isinstance(spec.compute, EksLocalCompute)
        script = nodes_ready("seattle", spec, spec.compute.nodes)
        self.script = script.replace("  sleep 10\n", "  sleep 10; SECONDS=$((SECONDS + 60))\n")
        assert self.script != script

    def shows(self, *lists: list[bool]) -> None:
        for number, nodes in enumerate(lists):
            text = ",".join(NODE % ready for ready in nodes)
            (self.sandbox.home / f"nodes-{number}").write_text(text)
            (self.sandbox.home / "nodes").write_text(text)

    def run(self) -> Run:
        facts = "export ENDPOINT=https://cluster.invalid CLUSTER_ID=id-1 CA=Q0E=\n"
        return self.sandbox.run(facts + self.script)


def test_it_waits_until_all_nodes_are_ready(tmp_path: Path) -> None:
    operator = Operator(tmp_path / "host", minutes=9)
    operator.shows([], [True, False], [True, True, False], [True, True, True])
    run = operator.run()
    assert run.code == 0, run.stderr
    assert "3 nodes are Ready" in run.stdout
    assert len([call for call in run.calls if call.startswith("curl")]) == 4


def test_nodes_that_never_join_end_the_wait_with_what_to_look_at(tmp_path: Path) -> None:
    operator = Operator(tmp_path / "host")
    operator.shows([True, False])
    run = operator.run()
    assert run.code == 1
    assert "1 of 3 nodes of seattle are Ready after 2 min" in run.stderr
    assert "ami_family" in run.stderr


def test_why_the_cluster_could_not_be_asked_is_said(tmp_path: Path) -> None:
    operator = Operator(tmp_path / "host")
    (operator.sandbox.home / "aws-refuses").touch()
    run = operator.run()
    assert run.code == 1
    assert "0 of 3 nodes of seattle are Ready after 2 min (Unable to locate credentials)" in run.stderr


def test_no_token_is_on_a_command_line_or_left_behind(tmp_path: Path) -> None:
    operator = Operator(tmp_path / "host")
    operator.shows([True, True, True])
    run = operator.run()
    assert run.code == 0
    assert "MARKER" not in repr(run)
    assert operator.sandbox.files_with("MARKER") == ["/usr/local/sbin/aws", "/usr/local/sbin/curl"], "the stand-ins"


@pytest.fixture
def instance(tmp_path: Path) -> Sandbox:
    return Sandbox(
        tmp_path / "instance", {"systemctl": 'case "$*" in *is-active*ssh.service) ;; *is-active*) exit 3 ;; esac'}
    )


def _key(folder: Path, kind: str) -> tuple[str, str]:
    """A new key pair: public half as site files have it, private half."""
    file = folder / kind
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", file], check=True)
    return " ".join(file.with_suffix(".pub").read_text().split()[:2]), file.read_text().strip()


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_an_instance_takes_the_pinned_key_in_place_of_its_first_one(
    kind: str, tmp_path: Path, instance: Sandbox
) -> None:
    public, private = _key(tmp_path, kind)
    first = instance.path("/etc/ssh/ssh_host_ed25519_key")
    first.parent.mkdir(parents=True)
    first.write_text("the first key")
    run = instance.run(host_key_script("seattle-a", public), stdin=secret_lines([private]))
    assert run.code == 0, run.stderr
    file = instance.path(f"/etc/ssh/ssh_host_{kind}_key")
    assert file.read_text() == private + "\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert instance.path(f"/etc/ssh/ssh_host_{kind}_key.pub").read_text() == public + "\n"
    assert not first.is_file() or first.read_text() != "the first key"
    assert "systemctl reload ssh.service" in run.calls
    assert "PRIVATE" not in run.stdout + run.stderr


def test_a_private_key_of_another_host_key_changes_nothing(tmp_path: Path, instance: Sandbox) -> None:
    public, _ = _key(tmp_path, "ed25519")
    _, other = _key(tmp_path, "ecdsa")
    run = instance.run(host_key_script("seattle-a", public), stdin=secret_lines([other]))
    assert run.code == 1
    assert "outposts-host-key is not the private half" in run.stderr
    assert not instance.path("/etc/ssh/ssh_host_ed25519_key").exists()
    assert not any("reload" in call for call in run.calls)
