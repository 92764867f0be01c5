"""Values that many sites share: one place, plain `pulumi`, and in plain text nowhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from engine.rehearsal.serving import RehearsalServer
from engine.rehearsal.world import World
from lab.stack import Stack, new_stack
from stacks.catalogue import PROJECT_ROOT
from stacks.loader import load_site
from stacks.parts import required
from stacks.shared.settings import STACK
from tests.edge.sites import SITES
from tests.test_secrets import command_lines, found_in

pytestmark = pytest.mark.engine

SHARED = {"telemetry-token": "marker-of-telemetry-token-5f1c9a", "git-password": "marker-of-git-password-5f1c9a"}
OWN = "own-of-this-site-0000"


@dataclass(frozen=True)
class Company:
    """A repository with the site `demo` and shared secrets, on plain `pulumi`."""

    home: Path
    shared: Stack
    site: Stack

    def up(self, stack: Stack, check: bool = True) -> str:
        done = stack.pulumi("up", "--yes", "--non-interactive", "--skip-preview", "--diff", check=check)
        assert check or done.returncode, "it was brought up"
        return done.stdout + done.stderr

    def secrets(self) -> str:
        return self.site.export("--show-secrets")

    def start(self, *, without: str = "") -> None:
        """Give the site its own secrets, but none that is shared, and none called ``without``."""
        for need in required(load_site("demo", root=self.home)):
            if need.key not in SHARED and need.key != without:
                self.site.secret(need.key, f"{OWN}-{need.key}")


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    home = tmp_path / "company"
    spec = load_site(SITES / "demo.yaml")
    with RehearsalServer(World.of(spec.model_dump(mode="json"))) as server:
        site = new_stack(home, "demo", providers=server.debug_providers, config={})
        project = yaml.safe_load((home / "Pulumi.yaml").read_text())
        (home / "Pulumi.yaml").write_text(yaml.safe_dump({**project, "main": ".", "secretsprovider": "passphrase"}))
        (home / "stacks" / "sites").mkdir(parents=True)
        (home / "stacks" / "profiles").symlink_to(PROJECT_ROOT / "stacks" / "profiles")
        shutil.copy(PROJECT_ROOT / "__main__.py", home)
        for name in ("_defaults", "demo"):
            shutil.copy(SITES / f"{name}.yaml", home / "stacks" / "sites")
        shared = replace(site, name=STACK)
        shared.pulumi("stack", "init")
        for key, value in SHARED.items():
            shared.secret(key, value)
        yield Company(home, shared, site)


def test_a_site_takes_a_shared_secret_that_it_lacks_and_no_other(company: Company) -> None:
    company.start()
    company.up(company.shared)
    company.up(company.site)
    held = company.secrets()
    assert SHARED["telemetry-token"] in held
    assert f"{OWN}-ssh-private-key" in held
    assert SHARED["git-password"] not in held, "a secret that the site does not use is in its state"


def test_a_sites_own_value_comes_first_and_then_the_shared_stack_is_not_opened(company: Company) -> None:
    company.start()
    company.site.secret("telemetry-token", f"{OWN}-telemetry-token")
    # It was never brought up, so that reading it would fail.
    company.up(company.site)
    held = company.secrets()
    assert f"{OWN}-telemetry-token" in held
    assert SHARED["telemetry-token"] not in held


def test_a_secret_is_rotated_in_its_one_place(company: Company) -> None:
    company.start()
    company.up(company.shared)
    company.up(company.site)
    company.shared.secret("telemetry-token", "rotated-5f1c9a")
    company.up(company.shared)
    company.up(company.site)
    held = company.secrets()
    assert "rotated-5f1c9a" in held
    assert SHARED["telemetry-token"] not in held


def test_the_token_of_a_cluster_is_never_shared(company: Company) -> None:
    company.start(without="k3s-token")
    company.shared.secret("k3s-token", "of-all-clusters")
    company.up(company.shared)
    assert "edge:k3s-token" in company.up(company.site, check=False)


def test_shared_secrets_are_shown_and_kept_in_plain_text_nowhere(company: Company) -> None:
    company.start()
    seen: set[bytes] = set()
    with command_lines(seen):
        shown = company.up(company.shared) + company.up(company.site)
        shown += company.site.export() + company.shared.export()
        shown += company.shared.pulumi("stack", "output", "--json").stdout
    assert any(b"pulumi" in one for one in seen), "no process of the run was looked at"
    assert not found_in(shown.encode())
    assert not found_in(b"".join(seen))
    files = [path for path in company.home.rglob("*") if path.is_file()]
    assert any(path.name == "shared.json" for path in files), "the state was not searched"
    for path in files:
        assert not found_in(path.read_bytes()), f"{path.relative_to(company.home)} holds one"


def test_what_cannot_be_read_is_said_with_the_command_that_helps(company: Company) -> None:
    company.start()
    never_up = company.up(company.site, check=False)
    assert "edge:telemetry-token is in Pulumi.shared.yaml" in never_up
    assert "pulumi up -s shared" in never_up
    assert "Traceback" not in never_up
    company.shared.pulumi("stack", "rm", "--yes", "--preserve-config")
    gone = company.up(company.site, check=False)
    assert "cannot be read from the stack `shared`" in gone
    assert "pulumi up -s shared" in gone


def test_a_key_that_does_not_open_the_shared_stack_gives_no_value(company: Company) -> None:
    company.start()
    company.up(company.shared)
    # The site gets a passphrase of its own: one that opens it, and not what is shared.
    other = {**company.site.variables, "PULUMI_CONFIG_PASSPHRASE": "another"}
    site = replace(company.site, name="shop", variables=other)
    text = (company.home / "stacks" / "sites" / "demo.yaml").read_text().replace("site: demo", "site: shop")
    (company.home / "stacks" / "sites" / "shop.yaml").write_text(text)
    site.pulumi("stack", "init")
    own = replace(company, site=site)
    own.start()
    said = own.up(site, check=False)
    assert "does not open that one" in said
    assert not found_in(said.encode())
