"""A site whose only way out is a proxy with a login, behind an authority of its own, with a registry's password.

One story, in the order in which the tests stand: a server and an agent with a model, from nothing, and back.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

import pytest

from lab.hosts.system import LabError
from lab.proxy import Proxy
from lab.whole import MODEL_HOST, SERVER, Whole
from tests.lab import inference_answers
from tests.lab.conftest import own_whole_site
from tests.lab.k3s_site import wait_for

HOSTS = (SERVER, MODEL_HOST)
LOGINS = ("proxy-login", "registry-login-lab")
OWN_STORE = "find /usr/local/share/ca-certificates -type f"


@dataclass(frozen=True)
class Story:
    """The site, its proxy, and what its hosts held before it came."""

    site: Whole
    proxy: Proxy
    before: dict[str, set[str]]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with own_whole_site(tmp_path_factory.mktemp("proxied"), names=HOSTS, behind_proxy=True) as site:
        assert site.world.proxy is not None
        yield Story(site, site.world.proxy, {name: held(site, name) for name in HOSTS})


@pytest.fixture
def site(story: Story) -> Whole:
    return story.site


@pytest.fixture
def proxy(story: Story) -> Proxy:
    return story.proxy


def held(site: Whole, name: str) -> set[str]:
    """What a host holds, with the authorities that were added to its store."""
    return site.held(name) | set(site.lab[name].run(OWN_STORE).stdout.splitlines())


def spellings(login: str) -> dict[str, str]:
    """How a login may stand in a text."""
    user, _, password = login.partition(":")
    return {
        "password": password,
        "URL": f"{quote(user, safe='')}:{quote(password, safe='')}",
        "header": base64.b64encode(login.encode()).decode(),
    }


def test_nothing_leaves_but_through_the_proxy(site: Whole, proxy: Proxy) -> None:
    for name in HOSTS:
        straight = f"curl --silent --insecure --max-time 4 https://{proxy.beyond}:{site.world.ports['mirror']}/"
        assert site.lab[name].run(straight, check=False).returncode in (7, 28), "no route, or no answer"
    assert proxy.passed == []


def test_a_wrong_login_stops_the_run_within_a_minute_and_in_plain_words(site: Whole, proxy: Proxy) -> None:
    site.secret("proxy-login", "edge:wrong")
    began = time.monotonic()
    done = site.edge("up", "lab", "--yes")
    seconds = time.monotonic() - began
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert f"the proxy {proxy.site_block['url']} refuses the login: set the secret proxy-login" in said
    assert "edge:wrong" not in said
    assert seconds < 60
    assert proxy.passed == []
    for name in HOSTS:
        assert not site.lab[name].run("ls /etc/rancher /var/lib/rancher/k3s/agent 2>/dev/null", check=False).stdout
    site.secret("proxy-login", proxy.login)
    proxy.without_login.clear()


def test_the_site_comes_up_by_one_command(site: Whole) -> None:
    document = site.up()
    assert [finding for finding in document["policies"] if finding["level"] == "mandatory"] == []


def test_all_nodes_are_ready(site: Whole) -> None:
    assert site.nodes() == {"lab-a": "True", "lab-b": "True"}


def test_flux_has_applied_the_signed_commit(site: Whole) -> None:
    wait_for("Flux applied the source", lambda: site.word() == "first")


def test_the_model_answers(site: Whole) -> None:
    inference_answers.check(site.infer(inference_answers.picture()))


def test_every_host_is_in_the_tailnet(site: Whole) -> None:
    assert {name for name, one in site.world.headscale.devices().items() if one.online} == {"lab-a", "lab-b"}


def test_telemetry_of_all_hosts_is_counted_at_the_gateway(site: Whole) -> None:
    def hosts() -> set[object]:
        points = site.world.gateway.metrics()
        return {point.resource.get("host.name") for point in points if point.name.startswith("system.")}

    wait_for("readings of all hosts", lambda: {"lab-a", "lab-b"} <= hosts(), seconds=150)


def test_everything_that_left_showed_the_login(site: Whole, proxy: Proxy) -> None:
    ports, hosts = site.world.ports, {site.lab[name].address for name in HOSTS}
    agents = {request.agent.partition("/")[0] for request in proxy.passed if request.port == ports["mirror"]}
    assert agents == {"curl"}
    assert proxy.clients(ports["mirror"]) == hosts, "scripts of the hosts"
    assert proxy.clients(ports["registry"]) == hosts, "containerd"
    assert proxy.clients(ports["headscale"]) == hosts, "tailscaled"
    assert proxy.clients(ports["gateway"]) == hosts, "collectors"
    assert proxy.clients(ports["git"]) <= hosts, "Flux"
    assert proxy.clients(ports["git"])
    assert proxy.without_login == []


def test_nothing_that_is_of_the_site_itself_goes_to_the_proxy(proxy: Proxy) -> None:
    assert proxy.astray == []


def test_a_second_up_changes_nothing(site: Whole) -> None:
    counts = site.up()["counts"]
    assert counts["same"] == sum(counts.values())


def test_no_login_is_in_a_log_a_command_line_or_the_plain_state(site: Whole) -> None:
    shown = {"state": site.pulumi("stack", "export", "--stack", "lab").stdout}
    for name in HOSTS:
        logs = "/var/log/pods/*/*/*.log /var/lib/rancher/k3s/agent/containerd/containerd.log"
        shown[f"{name}: logs"] = site.lab[name].run(f"journalctl --no-pager; cat {logs}").stdout
        # Processes end while they are looked at.
        shown[f"{name}: commands"] = site.lab[name].run("cat /proc/[0-9]*/cmdline", check=False).stdout
    for key in LOGINS:
        for where, text in shown.items():
            assert text
            for how, value in spellings(site.world.secrets[key]).items():
                assert value not in text, (key, where, how)


def test_destroy_leaves_hosts_as_they_were_and_no_login_behind(site: Whole, story: Story) -> None:
    done = site.edge("destroy", "lab", "--yes", "--json")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    logins = [word for key in LOGINS for word in spellings(site.world.secrets[key]).values()]
    search = "grep --recursive --files-with-matches --fixed-strings --file=- /etc /var/lib /usr/local /run /root"
    for name in HOSTS:
        # A host leaves the tailnet when the session that tells it to has ended.
        with suppress(LabError):
            wait_for("it is as it was", lambda: held(site, name) == story.before[name], seconds=40)  # noqa: B023
        assert held(site, name) ^ story.before[name] == set()
        assert site.lab[name].run(search, stdin="\n".join(logins), check=False).stdout == ""
