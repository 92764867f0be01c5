"""Schedules, ranges, names of branches, addresses and labels are read as the programs read them that get them."""

from __future__ import annotations

import pytest

from components import addresses, cron, git_names, node_labels, openpgp, pem, version_range
from stacks.loader import load_site


@pytest.mark.parametrize(
    "text",
    [
        "0 */6 * * *",
        "@daily",
        "@every 1h30m",
        "*/15 0-6,22 1,15 JAN-mar MON",
        "0 3 29 2 *",
        "5/10 * ? * 0-6",
        "0 0 31 2 1",
    ],
)
def test_a_schedule_that_k3s_reads_is_one(text: str) -> None:
    cron.check(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hourly", "1 field,"),
        ("0 0 * *", "4 fields"),
        ("0 0 * * * *", "6 fields"),
        ("@every", "none of"),
        ("@every 6 hours", "none of"),
        ("60 * * * *", "no minute"),
        ("0 24 * * *", "no hour"),
        ("0 0 0 * *", "no day of the month"),
        ("0 0 * 13 *", "no month"),
        ("0 0 * * 7", "Sunday is 0"),
        ("0 0 * * TUES", "no day of the week"),
        ("0-a * * * *", "no minute"),
        ("*/x * * * *", "no step"),
        ("9-3 * * * *", "ends before it begins"),
        ("0 0 31 4,6 *", "no such day"),
    ],
)
def test_a_schedule_that_k3s_refuses_is_none(text: str, said: str) -> None:
    with pytest.raises(cron.NotASchedule, match=said):
        cron.check(text)


@pytest.mark.parametrize(
    "text",
    [
        *(">=1.2.0 <2.0.0", ">=1.2, <2", "~1.4", "^2", "1.x", "*", "v1.2.3", "1.2 - 1.4", "^1 || ^2", "!=1.3.0"),
        *(">=1.0.0-0", "=>1", "~>1.4.0-rc.1", ">=1.0.0+build"),
    ],
)
def test_a_range_that_flux_reads_is_one(text: str) -> None:
    version_range.check(text)


@pytest.mark.parametrize("text", ["latest", "", ">=", "1.2.3.4", ">=1.2 and <2", "^1 ||", ">2 <1", "2.0 - 1.0", "1..2"])
def test_a_range_that_flux_refuses_is_none(text: str) -> None:
    with pytest.raises(version_range.NotARange):
        version_range.check(text)


@pytest.mark.parametrize("name", ["main", "release/1.4", "feature#1", "v1.4.0", "a.b"])
def test_a_name_of_git_is_one(name: str) -> None:
    assert git_names.problem(name, "heads") is None


@pytest.mark.parametrize(
    ("name", "kind", "remedy"),
    [
        ("refs/heads/main", "heads", "write `main`"),
        ("heads/main", "heads", "write `main`"),
        ("refs/remotes/origin/main", "heads", "write `main`"),
        ("refs/tags/v1", "tags", "write `v1`"),
        ("refs/heads/main", "tags", "write `main`"),
    ],
)
def test_a_whole_reference_is_answered_with_the_name(name: str, kind: str, remedy: str) -> None:
    assert (git_names.problem(name, kind) or ("", ""))[1] == remedy


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "a..b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[",
        "a\\b",
        "@{1}",
        "@",
        "/a",
        "a/",
        "a//b",
        ".a",
        "a.lock",
        "-a",
        "a.",
    ],
)
def test_a_name_that_git_refuses_is_none(name: str) -> None:
    assert git_names.problem(name, "heads") is not None


@pytest.mark.parametrize(
    ("text", "of_no_machine", "of_this_machine"),
    [
        ("10.0.0.1", False, False),
        ("fd00::1", False, False),
        ("100.64.0.1", False, False),
        ("127.0.0.1", False, True),
        ("::1", False, True),
        ("169.254.1.1", False, True),
        ("fe80::1", False, True),
        ("0.0.0.0", True, True),
        ("0.1.2.3", True, True),
        ("::", True, True),
        ("224.0.0.1", True, True),
        ("ff02::1", True, True),
        ("255.255.255.255", True, True),
        ("240.0.0.1", True, True),
        ("::ffff:10.0.0.1", True, True),
    ],
)
def test_what_an_address_is_good_for(text: str, of_no_machine: bool, of_this_machine: bool) -> None:
    address = addresses.parsed(text)
    assert address is not None
    assert (addresses.of_no_machine(address) is not None) is of_no_machine
    assert (addresses.of_this_machine(address) is not None) is of_this_machine


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        ("customer", True),
        ("example.com/x", True),
        ("notkubernetes.io/x", True),
        ("topology.kubernetes.io/zone", True),
        ("node.kubernetes.io/pool", True),
        ("a.kubelet.kubernetes.io/x", True),
        ("node-role.kubernetes.io/worker", False),
        ("kubernetes.io/hostname", False),
        ("kubernetes.io/x", False),
        ("a.k8s.io/x", False),
        ("beta.kubernetes.io/arch", False),
        ("edge.site", False),
    ],
)
def test_labels_that_a_kubelet_may_set(key: str, allowed: bool) -> None:
    assert (node_labels.problem(key) is None) is allowed


def _pgp() -> list[str]:
    (key,) = load_site("prod").gitops.source.verify.keys.values()  # type: ignore[union-attr]
    lines: list[str] = key.strip().split("\n")
    return lines


def test_a_key_of_gpg_is_one_with_headers_and_without_a_checksum_too() -> None:
    key = _pgp()
    openpgp.check("\n".join(key))
    openpgp.check("\n".join([key[0], "Version: GnuPG v2", "Comment: x", *key[1:]]))
    openpgp.check("\n".join([*key[:-2], key[-1]]))


@pytest.mark.parametrize("line", range(2, 8))
def test_a_key_without_one_of_its_lines_is_none(line: int) -> None:
    key = _pgp()
    with pytest.raises(openpgp.NotAKey):
        openpgp.check("\n".join([*key[:line], *key[line + 1 :]]))


def test_a_private_key_in_a_public_block_is_called_one() -> None:
    import base64

    secret = bytes([0x80 | 5 << 2, 1, 4])
    armored = [openpgp.BEGIN, "", base64.b64encode(secret).decode(), openpgp.END]
    with pytest.raises(openpgp.NotAKey, match="private key"):
        openpgp.check("\n".join(armored))


def test_two_public_keys_in_one_text_are_refused() -> None:
    (key,) = load_site("outpost-frankfurt").gitops.source.verify.keys.values()  # type: ignore[union-attr]
    assert pem.public_key(key) == key
    with pytest.raises(pem.NotPem, match="more than one"):
        pem.public_key(key + key)
