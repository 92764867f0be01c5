"""What tests send to a site's collectors, and how long what they took may be on its way."""

from __future__ import annotations

import json
import time

from components.telemetry import collector as rendered
from lab.hosts.host import LabHost

# An attempt that began too early hangs for 30 s; the component lets a collector wait 60 s until the next one, which
# chance makes half as much again; what is left of a queue comes after that.
RETRY_S = 30 + 90 + 60
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
