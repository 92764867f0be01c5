"""Setting up the way out of a host, run for real: real bash and files; curl and the store's command are stand-ins."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.egress import ENVIRONMENT, Egress
from components.network.plan import host_checks, plan
from components.shell import secret_lines
from tests.components.network.authorities import OTHER, SITE
from tests.components.network.test_egress import egress
from tests.components.site_parts import machine
from tests.sandbox import Run, Sandbox, needs_root

LOGIN = "edge:MARKER-of-the-proxy"
_CURL = """
printf '%s\\n' "$http_proxy" >"$SANDBOX/asked"
[ -f "$SANDBOX/code" ] && cat "$SANDBOX/code"
"""
_COMMANDS = {"curl": _CURL, "update-ca-certificates": '[ ! -f "$SANDBOX/broken" ]'}
_SYSTEMS = ("flatcar", "fedora-coreos", "debian", "rhel", "sle")


class Host:
    """A Debian host behind a proxy that gives one answer."""

    def __init__(self, home: Path) -> None:
        self.sandbox = Sandbox(home, _COMMANDS)
        self.answers("503")

    def answers(self, code: str) -> None:
        (self.sandbox.home / "code").write_text(code)

    def set_up(self, way_out: Egress, login: str = LOGIN) -> Run:
        scripts = plan(way_out, machine("a", distribution="debian"))
        return self.sandbox.run(scripts.setup, stdin=secret_lines([way_out.environment(login)]))

    def remove(self) -> Run:
        return self.sandbox.run(plan(everything(), machine("a", distribution="debian")).remove)

    def authorities(self) -> list[str]:
        folder = self.sandbox.path("/usr/local/share/ca-certificates")
        return sorted(path.name for path in folder.glob("edge-ca-*") if path.is_file())


def everything(**fields: Any) -> Egress:
    return egress(["10.0.0.11"], proxy={"login": True}, trusted_cas={"site": SITE + OTHER}, **fields)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "host")


@pytest.mark.parametrize("distribution", _SYSTEMS)
def test_scripts_are_as_reviewed(distribution: str, golden: Callable[[str, str], None]) -> None:
    scripts = plan(everything(), machine("a", distribution=distribution))
    golden(f"network/{distribution}-setup.sh", scripts.setup)
    golden(f"network/{distribution}-remove.sh", scripts.remove)


@pytest.mark.parametrize("way_out", [everything(), egress(), Egress(None, {"site": SITE})], ids=["all", "proxy", "cas"])
def test_scripts_satisfy_shellcheck(way_out: Egress, tmp_path: Path) -> None:
    one = machine("a", distribution="debian")
    scripts = plan(way_out, one)
    checks = f"lack() {{ printf '%s\\n' \"$@\"; }}\n{host_checks(way_out, one)}"
    for text in (scripts.setup, scripts.remove, checks):
        file = tmp_path / "script.sh"
        file.write_text("#!/bin/bash\n" + text)
        checked = subprocess.run(
            [str(Path(sys.prefix) / "bin" / "shellcheck"), file], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout


@needs_root
def test_the_login_is_in_a_file_of_root_alone_and_in_no_argument(host: Host) -> None:
    done = host.set_up(everything())
    assert done.code == 0, done.stderr
    path = host.sandbox.path(ENVIRONMENT)
    assert path.stat().st_mode & 0o777 == 0o600
    assert host.sandbox.files_with("MARKER") == [ENVIRONMENT]
    assert not any("MARKER" in text for text in (*done.calls, done.stdout, done.stderr))
    assert "MARKER" in (host.sandbox.home / "asked").read_text()


@needs_root
def test_a_second_run_changes_nothing(host: Host) -> None:
    host.set_up(everything())
    again = host.set_up(everything())
    assert again.code == 0
    assert "changed" not in again.stdout
    assert not any(call.startswith("update-ca-certificates") for call in again.calls)


@needs_root
def test_an_authority_that_is_no_longer_written_is_no_longer_trusted(host: Host) -> None:
    host.set_up(everything())
    assert host.authorities() == ["edge-ca-site-1.crt", "edge-ca-site-2.crt"]
    less = host.set_up(egress(trusted_cas={"site": SITE}))
    assert host.authorities() == ["edge-ca-site-1.crt"]
    assert "update-ca-certificates --fresh" in less.calls


@needs_root
def test_a_store_that_was_not_written_is_written_by_the_next_run(host: Host) -> None:
    (host.sandbox.home / "broken").touch()
    assert host.set_up(everything()).code == 1
    (host.sandbox.home / "broken").unlink()
    assert "update-ca-certificates --fresh" in host.set_up(everything()).calls


@needs_root
@pytest.mark.parametrize(
    ("code", "way_out", "said"),
    [
        ("407", everything(), "refuses the login: set the secret proxy-login to user:password"),
        ("407", egress(), "asks for a login: write `login: true` below network.proxy"),
        ("000", egress(), "does not answer as one: correct network.proxy.url"),
    ],
)
def test_a_proxy_that_lets_nobody_through_stops_the_run(host: Host, code: str, way_out: Egress, said: str) -> None:
    host.answers(code)
    done = host.set_up(way_out)
    assert done.code == 1
    assert said in done.stderr
    assert "MARKER" not in done.stderr


@needs_root
def test_removal_leaves_neither_login_nor_authority(host: Host) -> None:
    host.set_up(everything())
    done = host.remove()
    assert done.code == 0, done.stderr
    assert host.authorities() == []
    assert host.sandbox.files_with("MARKER") == []
    assert "update-ca-certificates --fresh" in done.calls


@needs_root
def test_a_proxy_that_cannot_be_reached_is_said_before_anything_is_changed(host: Host) -> None:
    """The sandbox has a network of its own, with nothing in it."""
    checks = host_checks(everything(), machine("a", distribution="debian"))
    done = host.sandbox.run(f"set -euo pipefail\nlack() {{ printf '%s: %s\\n' \"$@\"; }}\n{checks}")
    assert done.code == 0, done.stderr
    assert "the proxy proxy.example.com:3128 cannot be reached: open the way to it" in done.stdout
    assert not host.sandbox.path(ENVIRONMENT).exists()
