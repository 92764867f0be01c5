"""What the gate believes of an encrypted disk.

Real headers, read by the real systemd-cryptenroll where there is one, and what `cryptsetup luksDump` said about them.
"""

from __future__ import annotations

import gzip
import shlex
import shutil
from pathlib import Path

import pytest

from components.host.plan import plan
from components.host.spec import OsSpec
from tests.components.site_parts import machine
from tests.sandbox import Run, Sandbox, needs_root

pytestmark = needs_root

HEADERS = Path(__file__).parents[2] / "fixtures" / "systems" / "luks"
REAL = shutil.which("systemd-cryptenroll")

_LSBLK = """
case "$*" in
  *NAME,FSTYPE*) printf '%s\\n' '/dev/mapper/root ext4' "$SANDBOX/header crypto_LUKS" '/dev/sda' ;;
  *) printf '%s\\n' crypt part disk ;;
esac
"""


class Box(Sandbox):
    """A machine whose /var/lib is on a disk that is encrypted; ``header`` says how."""

    def __init__(self, home: Path) -> None:
        absent = dict.fromkeys(("systemd-cryptenroll", "cryptsetup", "clevis"), "exit 127")
        commands = {"findmnt": "echo /run/root", "lsblk": _LSBLK, "systemctl": "echo loaded", **absent}
        super().__init__(home, {"uname": "echo x86_64", **commands})
        self.path("/etc").mkdir(parents=True, exist_ok=True)
        self.path("/etc/os-release").write_text("ID=flatcar\n")

    def header(self, name: str, tool: str = "", *, clevis: str | None = None) -> None:
        (self.home / "header").write_bytes(gzip.decompress((HEADERS / f"{name}.header.gz").read_bytes()))
        if tool == "real":
            self.install("/usr/local/sbin/systemd-cryptenroll", f'exec {REAL} "$@"')
        if tool == "dump":
            (self.home / "dump").write_bytes((HEADERS / f"{name}.luksDump").read_bytes())
            self.install("/usr/local/sbin/cryptsetup", '[ "$1" = luksDump ] && cat "$SANDBOX/dump"')
        if clevis is not None:
            self.install("/usr/local/sbin/clevis", f'[ "$1 $2" = "luks list" ] && echo {shlex.quote(clevis)}')

    def asked(self, disk: str = "luks-tpm2") -> Run:
        small = {"arch": "amd64", "cores": 1, "memory_mib": 1, "disk_gib": 1, "tpm": False}
        facts = plan(machine("a", os=OsSpec.model_validate({"disk": disk}), figures=small)).facts
        return self.run(f"mknod /run/root b 7 250\n{facts}")


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "box")


TOOLS = [
    pytest.param("real", id="systemd-cryptenroll", marks=pytest.mark.skipif(not REAL, reason="no systemd-cryptenroll")),
    pytest.param("dump", id="cryptsetup"),
]


@pytest.mark.parametrize("tool", TOOLS)
def test_a_disk_with_a_key_slot_of_the_tpm_is_bound_to_it(box: Box, tool: str) -> None:
    box.header("tpm2", tool)
    done = box.asked()
    assert done.code == 0, done.stderr
    assert done.stdout.strip().endswith("luks=tpm2")


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("header", ["password", "tpm2-slot-gone"])
def test_an_encrypted_disk_that_only_a_password_opens_is_refused(box: Box, header: str, tool: str) -> None:
    box.header(header, tool)
    done = box.asked()
    assert done.code != 0
    assert "is encrypted, and no key slot is the TPM's" in done.stderr
    assert "luks=other" in box.asked("none").stdout


def test_encryption_of_which_nobody_can_list_the_keys_is_no_proof(box: Box) -> None:
    box.header("tpm2")
    done = box.asked()
    assert done.code != 0
    assert "whether the TPM unlocks the disk below /var/lib cannot be told" in done.stderr
    assert "install systemd-cryptenroll or cryptsetup" in done.stderr


@pytest.mark.parametrize("tool", TOOLS)
def test_clevis_is_asked_what_it_has_bound_the_disk_to(box: Box, tool: str) -> None:
    """As on Fedora CoreOS. Its slot is `other` for systemd, and its token in the header names no TPM."""
    box.header("clevis", tool)
    assert "cannot be told" in box.asked().stderr
    box.header("clevis", clevis="""1: tpm2 '{"hash":"sha256","key":"ecc"}'""")
    done = box.asked()
    assert done.code == 0, done.stderr
    box.header("clevis", clevis="""1: tang '{"url":"http://tang.example.com"}'""")
    assert "no key slot is the TPM's" in box.asked().stderr


def test_one_container_without_the_tpm_is_enough_to_refuse_a_mirrored_disk(box: Box) -> None:
    box.header("tpm2", "dump")
    box.install(
        "/usr/local/sbin/lsblk",
        _LSBLK.replace('"$SANDBOX/header crypto_LUKS"', '"$SANDBOX/header crypto_LUKS" "$SANDBOX/other crypto_LUKS"'),
    )
    (box.home / "password").write_bytes((HEADERS / "password.luksDump").read_bytes())
    box.install(
        "/usr/local/sbin/cryptsetup", 'case $2 in */other) cat "$SANDBOX/password" ;; *) cat "$SANDBOX/dump" ;; esac'
    )
    assert "no key slot is the TPM's" in box.asked().stderr
