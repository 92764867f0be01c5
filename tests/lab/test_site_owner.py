"""Whose host is it, on real hosts and by plain `pulumi`: nothing is taken over, nothing is wiped under another name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.hosts.lab import Lab
from lab.site import Site, lab_site, sessions

OWNER = "/var/lib/edge/owner"


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    with lab_site(lab, tmp_path / "site") as made:
        yield made


def owner(site: Site, host: str) -> dict[str, str]:
    text = site.lab[host].run(f"cat {OWNER}").stdout
    return dict(line.split("=", 1) for line in text.splitlines())


def refused(site: Site, *arguments: str) -> str:
    done = site.pulumi(*(arguments or ("up", "--yes", "--skip-preview", "--non-interactive")), check=False)
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr


def test_a_copied_site_does_not_take_over_the_hosts_of_the_first(site: Site, tmp_path: Path) -> None:
    with lab_site(site.lab, tmp_path / "copy", name="copy") as copy:
        site.write("a", "b")
        site.up()
        mine = owner(site, "a")
        assert (mine["site"], mine["node"]) == ("lab", "lab-a")
        assert owner(site, "b")["stack"] == mine["stack"]

        copy.write("a", "b")
        said = refused(copy)
        assert "this host is lab-a of site lab, not copy-a of site copy" in said
        assert site.lab["a"].run("hostname").stdout.strip() == "lab-a"
        assert owner(site, "a") == mine

        # On purpose, it can be had.
        names = " ".join(f"copy-{host}:host-adopted:today" for host in ("a", "b"))
        copy.pulumi("config", "set", "edge:allow-destroy", names)
        copy.up()
        assert owner(site, "a")["site"] == "copy"
        # The first site's stack leaves what is not its own any more alone.
        site.destroy()
        assert owner(site, "a")["site"] == "copy"
        assert site.lab["a"].run("test -f /etc/sysctl.d/90-kubelet.conf && hostname").stdout.strip() == "copy-a"


def test_another_stack_of_the_same_site_is_another_owner(site: Site, tmp_path: Path) -> None:
    with lab_site(site.lab, tmp_path / "again") as again:
        site.write("a")
        site.up()
        again.write("a")
        assert "lab-a of site lab in another stack" in refused(again)


def test_a_host_under_another_name_is_refused_and_not_wiped(site: Site) -> None:
    site.write("a")
    site.up()
    before = owner(site, "a")
    text = site.file.read_text()
    site.file.write_text(text.replace("name: a", "name: z"))
    assert "this host is lab-a of site lab, not lab-z of site lab" in refused(site)
    assert owner(site, "a") == before
    assert site.lab["a"].run("test -f /etc/sysctl.d/90-kubelet.conf && hostname").stdout.strip() == "lab-a"


def test_a_rename_that_is_declared_is_made_in_place(site: Site) -> None:
    site.write("a")
    site.up()
    stack = owner(site, "a")["stack"]
    text = site.file.read_text()
    site.file.write_text(text.replace("name: a", "name: z\n  renamed_from: a"))
    assert set(site.up().values()) == {"update"}
    assert owner(site, "a") == {"site": "lab", "node": "lab-z", "stack": stack}
    assert site.lab["a"].run("hostname").stdout.strip() == "lab-z"
    assert site.up() == {}


def test_the_identity_of_a_stack_is_made_once(site: Site) -> None:
    site.write("a")
    site.up()
    stack = owner(site, "a")["stack"]
    assert len(stack) == 16
    site.write("a", "b")
    before = sessions(site.lab["a"])
    site.up()
    assert owner(site, "b")["stack"] == stack
    assert sessions(site.lab["a"]) == before


def test_kubernetes_of_somebody_else_is_refused(site: Site) -> None:
    host = site.lab["a"]
    host.run("mkdir -p /etc/kubernetes && echo theirs >/etc/kubernetes/kubelet.conf")
    try:
        site.write("a")
        said = refused(site)
        assert "kubeadm" in said
        assert "Nothing was changed" in said
        assert host.run("cat /etc/kubernetes/kubelet.conf").stdout == "theirs\n"
        assert host.run(f"test -e {OWNER}", check=False).returncode != 0
    finally:
        host.run("rm -r /etc/kubernetes")


def test_destroying_a_site_gives_its_hosts_back(site: Site, tmp_path: Path) -> None:
    with lab_site(site.lab, tmp_path / "next", name="next") as after:
        site.write("a")
        site.up()
        site.destroy()
        after.write("a")
        after.up()
        assert owner(site, "a")["site"] == "next"
