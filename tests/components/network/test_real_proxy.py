"""A host whose only way out is a proxy with a login: real curl, real bash, a real HTTP proxy; no other network."""

from __future__ import annotations

import hashlib
import shlex
import sys
from pathlib import Path

import pytest

from components.egress import ENVIRONMENT
from components.network.plan import plan
from components.shell import prelude, secret_lines, with_environment
from tests.components.network.test_egress import egress
from tests.components.site_parts import machine
from tests.sandbox import Run, Sandbox, needs_root

pytestmark = needs_root

LOGIN = "edge@site:p:a/s s%$#"
CONTENT = b"what lies outside\n"

PROXY = """
import base64, http.server, sys

EXPECTED = "Basic " + base64.b64encode(sys.argv[1].encode()).decode()

class Proxy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.headers.get("Proxy-Authorization") != EXPECTED:
            self.send_response(407)
            self.send_header("Proxy-Authenticate", 'Basic realm="site"')
        elif self.path == "http://outside.example.com/file":
            self.send_response(200)
        else:
            self.send_response(503)
        body = %r if self.path.endswith("/file") else b""
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.HTTPServer(("127.0.0.1", 3128), Proxy).serve_forever()
"""

_WAIT = "for _ in $(seq 200); do if (exec 3<>/dev/tcp/127.0.0.1/3128) 2>/dev/null; then break; fi; sleep 0.05; done"


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    made = Sandbox(tmp_path / "host", {})
    made.path("/usr/local/sbin/curl").unlink()  # the real one
    (made.home / "proxy.py").write_text(PROXY % CONTENT)
    return made


def run(sandbox: Sandbox, *scripts: str, login: str) -> Run:
    """Run ``scripts`` one after the other beside the proxy; the first gets the environment of the site."""
    proxy = f"{sys.executable} {sandbox.home}/proxy.py {shlex.quote(LOGIN)} >/dev/null 2>&1 </dev/null &"
    steps = " && ".join(f"bash -c {shlex.quote(script)}" for script in scripts)
    way_out = egress(proxy={"login": True, "url": "http://127.0.0.1:3128"})
    return sandbox.run(f"ip link set lo up; {proxy} {_WAIT}; {steps}", stdin=secret_lines([way_out.environment(login)]))


def setup() -> str:
    return plan(
        egress(proxy={"login": True, "url": "http://127.0.0.1:3128"}), machine("a", distribution="debian")
    ).setup


def download() -> str:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    functions = "\n".join(text for _, text in prelude())
    return with_environment(
        f"{functions}\nfetch http://outside.example.com/file {sha256} /opt/file 0644\n", ENVIRONMENT
    )


def test_a_script_downloads_through_the_proxy_with_a_login_of_any_characters(sandbox: Sandbox) -> None:
    done = run(sandbox, setup(), download(), login=LOGIN)
    assert done.code == 0, done.stderr
    assert sandbox.path("/opt/file").read_bytes() == CONTENT


def test_a_wrong_login_stops_the_run_before_anything_is_downloaded(sandbox: Sandbox) -> None:
    done = run(sandbox, setup(), download(), login="edge:wrong")
    assert done.code == 1
    assert "refuses the login: set the secret proxy-login" in done.stderr
    assert not sandbox.path("/opt/file").exists()


def test_without_the_environment_nothing_is_reached(sandbox: Sandbox) -> None:
    """What the first test shows is the proxy's doing."""
    done = run(sandbox, setup(), download().partition("set +a\n")[2].replace("--retry 5", "--retry 0"), login=LOGIN)
    assert done.code == 1
    assert "could not download http://outside.example.com/file" in done.stderr
