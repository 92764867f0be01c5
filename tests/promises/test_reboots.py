"""Never two servers of a cluster in one window: updates take one of them at a time."""

from __future__ import annotations

import itertools
import re

import pytest

from components.host.plan import plan
from components.host.reboots import shared, whole
from components.host.spec import UpdateWindow
from components.host.systems import SYSTEMS
from stacks.catalogue import catalogue
from stacks.parts import machine_of
from stacks.site import SiteSpec
from tests.stacks.test_host_rules import KEY

WINDOWS = ["Sun 02:00", "Sun 23:30", "Mon 00:00", "Sat 20:45"]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("servers", [1, 2, 3, 5, 7, 9])
def test_servers_that_share_a_window_have_it_one_after_the_other(servers: int, window: str) -> None:
    for hours in range(1, 13):
        written = UpdateWindow(window=window, hours=hours)
        parts = shared([written] * servers)
        assert all(part.minutes > 0 for part in parts)
        for one, other in itertools.combinations(parts, 2):
            assert not one.overlaps(other)
        inside = (whole(written).begin, whole(written).begin + whole(written).minutes)
        for part in parts:
            begin = part.begin if part.begin >= inside[0] else part.begin + 7 * 24 * 60
            assert inside[0] <= begin < begin + part.minutes <= inside[1], "never outside of what the site file says"


def test_a_window_of_its_own_is_left_as_it_is_written() -> None:
    own, site = UpdateWindow(window="Mon 02:00"), UpdateWindow(window="Sun 02:00")
    assert shared([site, own]) == [whole(site), whole(own)]
    assert [(part.day, part.time, part.minutes) for part in shared([site, own, site])] == [
        ("Sun", "02:00", 50),
        ("Mon", "02:00", 120),
        ("Sun", "03:00", 50),
    ]
    (first, second) = shared([UpdateWindow(window="Sun 23:30", hours=1)] * 2)
    assert [(one.day, one.time, one.minutes) for one in (first, second)] == [("Sun", "23:30", 20), ("Mon", "00:00", 20)]


@pytest.mark.parametrize("distribution", SYSTEMS)
def test_the_scripts_of_three_servers_write_three_windows_and_an_agent_has_the_whole_one(distribution: str) -> None:
    names = ("a", "b", "c", "d")
    spec = SiteSpec.model_validate(
        {
            "site": "shop",
            "tier": "near",
            "region": "eu-central",
            "os": {"distribution": distribution},
            "hosts": [
                {
                    "name": name,
                    "hardware": "hpe-el8000",
                    "address": f"10.10.0.{number}",
                    "host_key": f"{KEY[:-1]}{number}",
                    "role": "agent" if name == "d" else "server",
                }
                for number, name in enumerate(names, start=1)
            ],
        }
    )
    scripts = [plan(machine_of(spec, index, catalogue())).base for index in range(len(names))]
    begins = [re.findall(r"OnCalendar=Sun \*-\*-\* (\d\d:\d\d):00", script) for script in scripts]
    lengths = [re.findall(r'"\$SECONDS" -ge (\d+)', script) for script in scripts]
    assert begins == [["02:00"], ["02:40"], ["03:20"], ["02:00"]]
    assert lengths == [["1800"], ["1800"], ["1800"], ["7200"]]
