"""What tests send to a site's collectors, and how long what they took may be on its way."""

from __future__ import annotations

import json
import time

from components.telemetry import collector as rendered
from lab.hosts.host import LabHost

# What the component lets a collector wait between two attempts, half as much again by chance, and some.
RETRY_S = 90 + 30
SCRAPE_S = 30


def send_log(address: str, text: str, *, on: LabHost) -> None:
    """One log record by OTLP, from that host, where cables play no part; returns when the collector has taken it."""
    record = {"timeUnixNano": str(time.time_ns()), "body": {"stringValue": text}}
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})
    request = (
        f"POST /v1/logs HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    )
    answer = on.run(f"exec 3<>/dev/tcp/{address}/{rendered.OTLP_HTTP_PORT}; cat >&3; cat <&3", stdin=request).stdout
    assert answer.startswith("HTTP/1.1 200 "), answer
