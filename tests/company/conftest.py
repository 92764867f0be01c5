"""A company with 50 shops, whose repository `edge init` has written and `edge new` has filled."""

from __future__ import annotations

import csv
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.company.installed import Installed, built, install, surroundings
from tests.edge.clones import Clone
from tests.workflows.runner import Runner

SHOPS = 50


@dataclass(frozen=True)
class Company:
    """A clone of the company's repository, with the program as its `requirements.txt` pins it."""

    clone: Clone
    program: Installed
    home: Path

    @property
    def root(self) -> Path:
        return self.clone.root

    def edge(self, *arguments: str, below: str = ".") -> subprocess.CompletedProcess[str]:
        """`edge` as it is on somebody's PATH, in a folder of the repository."""
        return subprocess.run(
            [str(self.program.edge), *arguments],
            cwd=self.root / below,
            env=surroundings(self.home),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def pull_request(self, file: str, text: str) -> None:
        """Commit ``text`` as the whole of ``file``, on a branch of its own."""
        self.clone.git("checkout", "--quiet", "-B", "change")
        (self.root / file).parent.mkdir(parents=True, exist_ok=True)
        (self.root / file).write_text(text)
        self.clone.commit()

    def runner(self, place: Path) -> Runner:
        place.mkdir()
        return Runner(self.clone, place, surroundings(self.home))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(wheel, tmp_path_factory.mktemp("program") / "venv")


@pytest.fixture(scope="session")
def origin(program: Installed, tmp_path_factory: pytest.TempPathFactory) -> Company:
    """The repository as its first commit has it."""
    folder = tmp_path_factory.mktemp("company")
    made = Company(Clone(folder / "shops"), program, folder)
    done = subprocess.run(
        [str(program.edge), "init", "shops", "--ci", "github"],
        cwd=folder,
        env=surroundings(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _shops(folder / "shops.csv")
    created = made.edge("new", "--from", "hpe-el8000", "--from-csv", str(folder / "shops.csv"))
    assert created.returncode == 0, created.stdout + created.stderr
    made.clone.git("init", "--quiet", "--initial-branch", "main")
    made.clone.commit()
    (made.root / ".venv").symlink_to(program.prefix)
    assert made.edge("setup").returncode == 0
    return made


@pytest.fixture
def company(origin: Company, tmp_path: Path) -> Company:
    """A clone of one's own."""
    subprocess.run(["git", "clone", "--quiet", origin.root, tmp_path / "shops"], check=True)
    (tmp_path / "shops" / ".venv").symlink_to(origin.program.prefix)
    return Company(Clone(tmp_path / "shops"), origin.program, tmp_path)


def _shops(file: Path) -> None:
    with file.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["site", "address", "host_key", "tier", "region"])
        for number in range(SHOPS):
            public = Ed25519PrivateKey.generate().public_key()
            key = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
            rows.writerow([f"shop-{number:02}", f"10.9.{number}.11", key, "near", "eu"])
