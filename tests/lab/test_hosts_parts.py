"""The parts of the lab's hosts that need no host: names, control groups, Debian's archive."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.hosts.cgroups import hierarchies
from lab.hosts.image import archive_in
from lab.hosts.layout import layout
from lab.hosts.system import BadInput, LabError

_VERSION_1 = """\
25 20 0:22 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
26 25 0:23 / /sys/fs/cgroup/systemd rw,nosuid shared:5 - cgroup cgroup rw,xattr,name=systemd
27 25 0:24 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct
28 25 0:25 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
29 20 0:26 / /mnt/elsewhere rw - cgroup cgroup rw,memory
"""
_VERSION_2 = "30 20 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"


def test_the_hierarchies_of_version_1_are_mounted_again_with_their_controllers_or_their_name() -> None:
    assert [(one.folder, one.kind, one.options) for one in hierarchies(_VERSION_1)] == [
        ("cpu,cpuacct", "cgroup", "cpu,cpuacct"),
        ("systemd", "cgroup", "name=systemd"),
        ("unified", "cgroup2", "rw"),
    ]


def test_version_2_alone_is_one_hierarchy() -> None:
    assert [(one.folder, one.kind) for one in hierarchies(_VERSION_2)] == [(".", "cgroup2")]


def test_without_control_groups_there_is_no_lab() -> None:
    with pytest.raises(LabError, match="no control groups"):
        hierarchies("22 20 0:21 / /proc rw - proc proc rw\n")


def test_names_of_links_fit_the_kernel_for_every_host_of_the_largest_subnet() -> None:
    longest = layout(Path("/x"), "abcdefghij", "10.98.0.0/24")
    assert max(len(longest.link(254)), len(longest.bridge)) <= 15


@pytest.mark.parametrize("name", ["", "a-b", "Lab", "1lab", "abcdefghijk", "a b"])
def test_a_name_that_would_not_fit_everywhere_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="lab name"):
        layout(Path("/x"), name, "10.98.0.0/24")


def test_debians_archive_is_the_one_that_the_machine_uses() -> None:
    assert archive_in("deb [signed-by=/k.gpg] https://mirror.example/debian bookworm main") == (
        "https://mirror.example/debian"
    )
    assert archive_in("Types: deb\nURIs: http://deb.example.org/debian\nSuites: bookworm\n") == (
        "http://deb.example.org/debian"
    )
    assert archive_in("deb https://example.com/other/packages stable main\n# deb http://x/debian y z\n") is None
    assert archive_in("URIs: http://deb.example.org/debian-security\n") is None
