"""`edge new`: a site file from a profile or a site, that `edge check` accepts and that overwrites nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from edge.cli import app
from stacks.catalogue import catalogue
from stacks.loader import load_site
from tests.edge.conftest import Project, Ran
from tests.edge.sites import SITES
from tests.edge.test_drift import Server, listening, new_key, public

HEADER = "site,address,host_key"


@pytest.fixture
def server() -> Iterator[Server]:
    with listening(Server()) as made:
        yield made


def key() -> str:
    return public(new_key())


def new(project: Project, site: str, base: str, *arguments: object) -> Ran:
    return project.edge("new", site, "--from", base, *arguments)


def content(project: Project, site: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((project.sites / f"{site}.yaml").read_text())
    return found


@pytest.mark.parametrize("profile", sorted(catalogue().hardware))
def test_a_site_from_each_hardware_profile_passes_edge_check_or_says_why_not(project: Project, profile: str) -> None:
    options = ("--tier", "near", "--region", "eu-central", "--address", "10.90.0.11", "--host-key", key())
    made = new(project, "shop", profile, *options)
    if profile == "raspberry-pi-zero-2w":
        assert (made.code, "stacks/sites/shop.yaml:" in made.stderr) == (2, True), "too small for a server"
        assert not (project.sites / "shop.yaml").exists()
        return
    assert made.code == 0, made.stdout + made.stderr
    assert project.edge("check", "shop").code == 0
    assert load_site("shop", root=project.root).hosts[0].hardware == profile


def test_a_site_from_a_site_has_its_parts_and_none_of_what_is_its_own(project: Project) -> None:
    project.change("demo", lambda demo: demo.update(description="a demo", latency_ms=2))
    project.change("demo", lambda demo: demo["hosts"][0].update(reapply="again"))
    made = new(project, "shop", "demo", "--address", "10.90.0.11", "--host-key", key())
    assert made.code == 0, made.stdout + made.stderr
    old, found = content(project, "demo"), content(project, "shop")
    assert {name: found[name] for name in ("tier", "region", "mesh", "gitops", "inference")} == {
        name: old[name] for name in ("tier", "region", "mesh", "gitops", "inference")
    }
    assert found["site"] == "shop"
    assert found["hosts"][0]["name"] == "a"
    assert not found.keys() & {"description", "latency_ms"}
    assert "reapply" not in found["hosts"][0]
    assert "description, latency_ms, hosts.reapply" in made.stdout


def test_a_site_of_three_servers_asks_for_the_address_of_its_api(project: Project) -> None:
    (project.sites / "prod.yaml").write_text((SITES / "prod.yaml").read_text())
    hosts = [value for name in "abc" for value in ("--address", f"10.90.0.1{ord(name) - 96}", "--host-key", key())]
    refused = new(project, "shop", "prod", *hosts)
    assert refused.code == 2
    assert "--api-address" in refused.stderr
    assert new(project, "shop", "prod", *hosts, "--api-address", "10.90.0.10").code == 0
    found = load_site("shop", root=project.root)
    assert [host.name for host in found.hosts] == ["a", "b", "c"]
    assert found.k3s is not None
    assert found.k3s.api_address == "10.90.0.10"


def test_hosts_can_be_named_in_any_order(project: Project) -> None:
    one, other = key(), key()
    options = ("--tier", "near", "--region", "eu", "--host-key", f"two={other}", "--host-key", f"one={one}")
    made = new(project, "shop", "hpe-el8000", *options, "--address", "one=10.90.0.1", "--address", "two=10.90.0.2")
    assert made.code == 0, made.stdout + made.stderr
    assert {host["name"]: (host["address"], host["host_key"]) for host in content(project, "shop")["hosts"]} == {
        "one": ("10.90.0.1", one),
        "two": ("10.90.0.2", other),
    }


def test_nothing_is_overwritten(project: Project) -> None:
    before = (project.sites / "demo.yaml").read_bytes()
    made = new(project, "demo", "hpe-el8000", "--tier", "near", "--region", "eu")
    assert made.code == 2
    assert "already" in made.stderr
    assert (project.sites / "demo.yaml").read_bytes() == before


def test_without_a_terminal_all_that_is_missing_is_said_at_once(project: Project) -> None:
    made = new(project, "shop", "hpe-el8000")
    assert made.code == 2
    for option in ("--address a=ADDRESS", "--host-key a=KEY", "--tier", "--region"):
        assert option in made.stderr
    assert not (project.sites / "shop.yaml").exists()


@pytest.mark.parametrize(
    ("site", "change", "said"),
    [
        ("Shop", {}, "lower-case"),
        ("shop", {"--address": "10.90.0.300"}, "an IP address"),
        ("shop", {"--host-key": "ssh-rsa AAAA"}, "host_key"),
        ("shop", {"--tier": "nearby"}, "`tier` cannot be `nearby`"),
    ],
)
def test_what_was_given_and_is_wrong_is_refused_before_anything_is_written(
    project: Project, site: str, change: dict[str, str], said: str
) -> None:
    options = {"--tier": "near", "--region": "eu", "--address": "10.90.0.11", "--host-key": key(), **change}
    made = new(project, site, "hpe-el8000", *(part for option in options.items() for part in option))
    assert made.code == 2
    assert said in made.stderr
    assert sorted(file.name for file in project.sites.glob("*.yaml")) == ["_defaults.yaml", "demo.yaml"]


def test_a_machine_of_another_site_is_refused(project: Project) -> None:
    taken = content(project, "demo")["hosts"][0]["host_key"]
    made = new(project, "shop", "demo", "--address", "10.90.0.11", "--host-key", taken)
    assert made.code == 2
    assert "same host key" in made.stderr
    assert not (project.sites / "shop.yaml").exists()


def test_an_unknown_base_names_what_is_near(project: Project) -> None:
    made = new(project, "shop", "hpe-el800")
    assert (made.code, "did you mean `hpe-el8000`?" in made.stderr) == (2, True)


def _ssh(project: Project, server: Server) -> None:
    project.change("demo", lambda demo: demo.update(ssh={"port": server.port}))


def test_a_host_key_that_is_read_counts_with_its_fingerprint(project: Project, server: Server) -> None:
    _ssh(project, server)
    fingerprint = server.host_key.get_fingerprint()
    options = ("--address", "10.90.0.11", "--host-key-from", "127.0.0.1")
    made = new(project, "shop", "demo", *options, "--fingerprint", fingerprint)
    assert made.code == 0, made.stdout + made.stderr
    assert content(project, "shop")["hosts"][0]["host_key"] == public(server.host_key)
    assert server.asked == []


def test_a_host_key_with_another_fingerprint_is_refused(project: Project, server: Server) -> None:
    _ssh(project, server)
    options = ("--address", "10.90.0.11", "--host-key-from", "127.0.0.1", "--fingerprint", f"SHA256:{'a' * 43}")
    made = new(project, "shop", "demo", *options)
    assert made.code == 1
    assert server.host_key.get_fingerprint() in made.stderr
    assert not (project.sites / "shop.yaml").exists()


def test_no_host_key_is_believed_unasked(project: Project, server: Server) -> None:
    _ssh(project, server)
    made = new(project, "shop", "demo", "--address", "10.90.0.11", "--host-key-from", "127.0.0.1")
    assert made.code == 2
    assert f"--fingerprint a={server.host_key.get_fingerprint()}" in " ".join(made.stderr.split())
    assert not (project.sites / "shop.yaml").exists()


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1)])
def test_at_a_terminal_address_and_fingerprint_are_asked_for(
    project: Project, server: Server, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    _ssh(project, server)
    monkeypatch.setattr("edge.commands.new.at_terminal", lambda: True)
    arguments = ["new", "shop", "--from", "demo", "--host-key-from", "127.0.0.1"]
    ran = CliRunner().invoke(app, arguments, input=f"10.90.0.11\n{answer}\n")
    assert ran.exit_code == code, ran.output
    assert server.host_key.get_fingerprint() in ran.stderr
    assert (project.sites / "shop.yaml").exists() == (code == 0)


def test_an_address_where_nobody_answers_is_a_message(project: Project) -> None:
    project.change("demo", lambda demo: demo.update(ssh={"port": 1}))
    made = new(project, "shop", "demo", "--address", "10.90.0.11", "--host-key-from", "127.0.0.1")
    assert made.code == 1
    assert "127.0.0.1:1 cannot be read" in made.stderr


def table(project: Project, *rows: str, header: str = HEADER) -> Path:
    file = project.root / "shops.csv"
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


def test_many_sites_come_from_one_file(project: Project) -> None:
    rows = [f"shop-{number},10.90.{number}.11,{key()},acme" for number in range(3)]
    made = project.edge("new", "--from", "demo", "--from-csv", table(project, *rows, header=f"{HEADER},label.customer"))
    assert made.code == 0, made.stdout + made.stderr
    assert [load_site(f"shop-{number}", root=project.root).labels["customer"] for number in range(3)] == ["acme"] * 3
    assert project.edge("check").code == 0


def test_the_rows_of_one_site_are_its_hosts(project: Project) -> None:
    header = "site,host,address,host_key,from,tier,region,api_address"
    rows = (
        f"shop,x,10.90.0.1,{key()},hpe-el8000,near,eu,10.90.0.10",
        f"shop,y,10.90.0.2,{key()},,,,",
        f"shop,z,10.90.0.3,{key()},,,,",
    )
    made = project.edge("new", "--from-csv", table(project, *rows, header=header))
    assert made.code == 0, made.stdout + made.stderr
    found = load_site("shop", root=project.root)
    assert [(host.name, host.address) for host in found.hosts] == [
        ("x", "10.90.0.1"),
        ("y", "10.90.0.2"),
        ("z", "10.90.0.3"),
    ]


def _bad_rows() -> dict[str, tuple[str, str]]:
    same = key()
    return {
        "address": (f"shop-2,10.90.0.300,{key()}", "3:1: shop-2: `hosts[0].address` cannot be"),
        "empty": (f"shop-2,,{key()}", "3:1: `address` is empty"),
        "name": (f"Shop_2,10.90.0.2,{key()}", "3:1: Shop_2: `site` cannot be"),
        "exists": (f"demo,10.90.0.2,{key()}", "3:1: demo: There is a file demo.yaml already"),
        "cells": (f"shop-2,10.90.0.2,{key()},more", "3:1: the row has not as many cells"),
        "twice": (f"shop-2,10.90.0.2,{same}\nshop-3,10.90.0.3,{same}", "4:1: shop-3: shop-2-a has the same host key"),
        "too many": (f"shop-2,10.90.0.2,{key()}\nshop-2,10.90.0.3,{key()}", "3:1: shop-2: demo has 1 hosts"),
        "quotes": ('shop-2,10.90.0.2,"ssh', "not CSV"),
    }


@pytest.mark.parametrize("fault", _bad_rows())
def test_one_bad_row_is_said_with_file_and_line_and_nothing_is_written(project: Project, fault: str) -> None:
    row, said = _bad_rows()[fault]
    file = table(project, f"shop-1,10.90.0.1,{key()}", row)
    made = project.edge("new", "--from", "demo", "--from-csv", file)
    assert made.code == 2
    assert said in made.stderr
    assert f"{file}:" in made.stderr
    assert sorted(one.name for one in project.sites.glob("*.yaml")) == ["_defaults.yaml", "demo.yaml"]


def test_an_unknown_column_is_refused(project: Project) -> None:
    made = project.edge("new", "--from", "demo", "--from-csv", table(project, header="site,adress,host_key"))
    assert made.code == 2
    assert "did you mean `address`?" in made.stderr


def test_where_one_file_cannot_be_written_none_is_left(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge.run.new_site import Draft

    write = Draft.write
    written: list[Path] = []

    def full(draft: Draft) -> None:
        if written:
            raise OSError(28, "No space left on device")
        written.append(draft.file)
        write(draft)

    monkeypatch.setattr(Draft, "write", full)
    rows = [f"shop-{number},10.90.{number}.11,{key()}" for number in range(2)]
    made = project.edge("new", "--from", "demo", "--from-csv", table(project, *rows))
    assert made.code == 1
    assert len(written) == 1
    assert not written[0].exists()


def test_the_document_names_the_file_and_what_the_check_found(project: Project) -> None:
    made = new(project, "shop", "demo", "--address", "10.90.0.11", "--host-key", key(), "--json")
    assert made.code == 0
    document = json.loads(made.stdout)
    assert document["files"] == ["stacks/sites/shop.yaml"]
    assert document["check"]["site"] == "shop"
