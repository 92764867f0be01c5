"""The lab's gateway on loopback: whom it refuses, and what it counts."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request

import pytest

from engine.obtain.pin import EngineError
from lab.authority import Authority
from lab.telemetry import collector
from lab.telemetry.gateway import Gateway
from tests.lab.free_port import free_port

TOKEN = "lab-gateway-token"
BEARER = f"Bearer {TOKEN}"
BASIC = f"Basic {base64.b64encode(f'lab:{TOKEN}'.encode()).decode()}"
RECORD = {"timeUnixNano": "17", "body": {"stringValue": "one"}, "attributes": [{"key": "n", "value": {"intValue": 1}}]}
RESOURCE = {"attributes": [{"key": "edge.site", "value": {"stringValue": "lab"}}]}
LOGS = {"resourceLogs": [{"resource": RESOURCE, "scopeLogs": [{"logRecords": [RECORD]}]}]}


def post(gateway: Gateway, authority: Authority, **headers: str) -> int:
    """The gateway's answer to one record."""
    request = urllib.request.Request(
        f"{gateway.url}/v1/logs", json.dumps(LOGS).encode(), {"Content-Type": "application/json", **headers}
    )
    trust = ssl.create_default_context(cafile=str(authority.ca_file))
    try:
        with urllib.request.urlopen(request, context=trust, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize(("user", "right", "wrong"), [(None, BEARER, BASIC), ("lab", BASIC, BEARER)])
def test_only_who_has_the_token_is_counted_and_an_outage_takes_nothing_away(
    user: str | None, right: str, wrong: str
) -> None:
    try:
        collector.program()
    except EngineError as error:
        pytest.skip(str(error))
    with Authority() as authority, Gateway(authority, "127.0.0.1", TOKEN, user=user, port=free_port()) as gateway:
        assert post(gateway, authority) == post(gateway, authority, Authorization=wrong) == 401
        assert post(gateway, authority, Authorization=right) == 200
        gateway.stop()
        with pytest.raises(urllib.error.URLError, match="refused"):
            post(gateway, authority, Authorization=right)
        gateway.start()
        assert post(gateway, authority, Authorization=right) == 200
        gateway.stop()
        (first, second) = gateway.logs()
        assert first == second
        assert (first.name, first.time_ns, first.attributes) == ("one", 17, {"n": "1"})
        assert first.resource == {"edge.site": "lab"}
        assert TOKEN not in gateway.log
