"""What a site's mesh comes to, as values."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from components.mesh.tailscale.part import PART
from components.mesh.tailscale.plan import key_plan, plan, props, site_tags
from tests.components.mesh.mesh_parts import berlin, tailscale

SPECS = {
    "flatcar": tailscale(),
    "fedora-coreos": tailscale(ssh=True, accept_dns=True, advertise_routes=["10.20.0.0/24", "10.21.0.0/24"]),
    "debian": tailscale(login_server="https://headscale.example.com", mirror="https://mirror.example.com/tailscale"),
}


@pytest.mark.parametrize("distribution", SPECS)
def test_scripts_are_as_reviewed(distribution: str, golden: Callable[[str, str], None]) -> None:
    scripts = plan("berlin", berlin("a", distribution), SPECS[distribution])
    golden(f"mesh/{distribution}-join.sh", scripts.join)
    golden(f"mesh/{distribution}-leave.sh", scripts.leave)


@pytest.mark.parametrize("distribution", SPECS)
@pytest.mark.parametrize("script", ["join", "leave"])
def test_scripts_satisfy_shellcheck(distribution: str, script: str, tmp_path: Path) -> None:
    scripts = plan("berlin", berlin("a", distribution), SPECS[distribution])
    file = tmp_path / "script.sh"
    file.write_text("#!/bin/bash\n" + getattr(scripts, script))
    subprocess.run(["bash", "-n", file], check=True)
    checked = subprocess.run(
        [str(Path(sys.prefix) / "bin" / "shellcheck"), file], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_hosts_carry_their_sites_own_tag_and_its_groups() -> None:
    assert site_tags("berlin", tailscale()) == ("tag:edge-berlin", "tag:edge", "tag:warehouse")


@pytest.mark.parametrize("tag", ["tag:warehouse", "edge-lyon", "Warehouse", "1st", "with space"])
def test_a_tag_with_its_prefix_or_of_another_site_is_refused(tag: str) -> None:
    with pytest.raises(ValidationError):
        tailscale(tags=[tag])


def test_an_architecture_without_checksum_is_refused_with_the_file_to_add() -> None:
    spec = tailscale(sha256={"amd64": "a" * 64})
    with pytest.raises(ValueError, match=r"tailscale_1\.102\.3_arm64\.tgz"):
        plan("berlin", berlin("a", arch="arm64"), spec)


def test_hosts_of_an_own_tailnet_send_their_logs_to_nobody() -> None:
    for distribution, spec in SPECS.items():
        join = plan("berlin", berlin("a", distribution), spec).join
        # Tailscale may refuse devices whose logs it does not get; Headscale has no use for them.
        assert ("--no-logs-no-support" in join) == (spec.login_server is not None)


def test_the_key_is_never_part_of_a_command_line_and_never_forces_a_new_login() -> None:
    for distribution, spec in SPECS.items():
        join = plan("berlin", berlin("a", distribution), spec).join
        assert '--auth-key="file:$key_file"' in join
        assert "--force-reauth" not in join
        assert "--timeout=60s" in join


def test_a_key_from_the_configuration_is_a_required_secret_and_a_made_one_is_not() -> None:
    made = tailscale(key={"source": "tailscale-provider", "tailnet": "example.com"})
    assert [need.key for need in PART.secrets(tailscale())] == ["tailscale-auth-key"]
    assert PART.secrets(made) == []


def test_a_made_key_is_short_lived_and_tagged() -> None:
    spec = tailscale(key={"source": "tailscale-provider", "tailnet": "example.com", "expiry_hours": 2})
    key = key_plan("a" * 60, spec)
    assert key is not None
    assert key.expiry_s == 7200
    assert key.tags == site_tags("a" * 60, spec)
    assert len(key.description) <= 50
    with pytest.raises(ValidationError):
        tailscale(key={"source": "tailscale-provider", "tailnet": "example.com", "expiry_hours": 2000})


def test_policies_are_not_told_what_only_the_maker_of_a_key_knows() -> None:
    configured, made = (
        props("berlin", tailscale()),
        props("berlin", tailscale(key={"source": "tailscale-provider", "tailnet": "t"})),
    )
    assert (configured["preauthorized"], configured["expiry_hours"]) == (None, None)
    assert (made["preauthorized"], made["expiry_hours"]) == (True, 24)
