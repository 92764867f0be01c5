"""Registries of a site: a login is a secret, and plain http is for the site's own network."""

from __future__ import annotations

import base64
import dataclasses

import pytest
import yaml

from engine.rehearsal.in_process import Recorded, Secret
from policies.rules import DEFAULT_SETTINGS, Resource, evaluate
from stacks.catalogue import PROJECT_ROOT
from stacks.loader import load_site
from tests.promises.recordings import COMMAND, SECRET_MARK, files, plain, recorded_site, script
from tests.promises.test_secrets_in_resources import holds_secret

SITE = PROJECT_ROOT / "tests" / "fixtures" / "sites" / "valid" / "registries-of-the-site.yaml"
REGISTRIES = "/etc/rancher/k3s/registries.yaml"


@pytest.fixture(scope="module")
def installs() -> list[Recorded]:
    found = [
        one
        for one in recorded_site(load_site(SITE), {"edge:registry-login-mirror": f"edge:{SECRET_MARK}:'#"}).resources
        if one.type == COMMAND and one.name.endswith(("-a-k3s", "-b-k3s"))
    ]
    assert len(found) == 2
    return found


def test_the_login_of_a_registry_comes_by_standard_input_alone(installs: list[Recorded]) -> None:
    for command in installs:
        given = command.inputs["stdin"]
        assert isinstance(given, Secret)
        assert holds_secret(given.value)
        for when in ("create", "update", "delete"):
            assert not holds_secret(plain(command).get(when)), f"{command.name}: {when}"


def test_registries_with_a_login_are_in_a_file_of_root_alone(installs: list[Recorded]) -> None:
    for command in installs:
        text = script(command)
        assert yaml.safe_load(files(text)[REGISTRIES]).keys() == {"mirrors"}, "logins are not in the script's own text"
        assert f"put_file {REGISTRIES} 0600 < <(cat <<'EDGE_FILE'\n" in text


def test_mirrors_with_a_login_can_be_judged_by_the_policies(installs: list[Recorded]) -> None:
    """They stand in the script; with what comes by standard input they are one document."""
    settings = dataclasses.replace(DEFAULT_SETTINGS, registries=("registry.example.com:5000", "10.10.0.5:5000"))
    for command in installs:
        judged = Resource(COMMAND, command.name, "urn:x", {"create": script(command)})
        found = [one.message for one in evaluate(judged, settings) if one.rule == "supply-chain/image-mirror"]
        # Plain http, on purpose: a waiver's business.
        assert found == ["pulls images of docker.io without encryption"], found
        assert len([one for one in evaluate(judged) if one.rule == "supply-chain/image-mirror"]) > len(found)


def test_k3s_reads_login_authority_and_plain_http_as_they_are_written(installs: list[Recorded]) -> None:
    for command in installs:
        last = plain(command)["stdin"].splitlines()[-1]
        mirrors = script(command).partition(f"put_file {REGISTRIES} 0600 < <(cat <<'EDGE_FILE'\n")[2]
        read = yaml.safe_load(mirrors.partition("EDGE_FILE\n")[0] + base64.b64decode(last).decode())
        assert read["mirrors"]["*"] == {"endpoint": ["https://registry.example.com:5000"]}
        assert read["mirrors"]["docker.io"] == {"endpoint": ["http://10.10.0.5:5000"]}
        (path,) = [config["tls"]["ca_file"] for config in read["configs"].values()]
        assert read["configs"] == {
            "registry.example.com:5000": {
                "auth": {"username": "edge", "password": f"{SECRET_MARK}:'#"},
                "tls": {"ca_file": path},
            }
        }
        assert files(script(command))[path].startswith("-----BEGIN CERTIFICATE-----\n")
