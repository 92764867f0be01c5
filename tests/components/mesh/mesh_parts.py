"""A Tailscale spec, and an archive whose programs record what they are asked, for the tests of the mesh."""

from __future__ import annotations

import hashlib
import io
import tarfile
from typing import Any

from components.host.machine import Machine
from components.mesh.tailscale.spec import TailscaleSpec
from components.types import Arch
from tests.components.site_parts import machine

VERSION = "1.102.3"

# Plays tailscale against files beside the sandbox: `active` while tailscaled runs, `state` for what it has come to.
TAILSCALE = """#!/bin/bash
{ printf 'tailscale'; printf ' %s' "$@"; printf '\\n'; } >>"$SANDBOX/calls"
{ env; tr '\\0' ' ' </proc/$PPID/cmdline; } >>"$SANDBOX/seen-by-others"
state=$(cat "$SANDBOX/state" 2>/dev/null || echo NeedsLogin)
[ "$1" = status ] && $WHEN_ASKED
case $1 in
  status)
    [ -e "$SANDBOX/active" ] || exit 1
    printf '{\\n  "BackendState": "%s",\\n  "Self": {\\n' "$state"
    printf '    "DNSName": "%s.tail.ts.net.",\\n' "$(cat "$SANDBOX/name")"
    printf '    "Tags": [\\n      "%s"\\n    ]\\n  }\\n}\\n' "$(sed 's/ /",\\n      "/g' "$SANDBOX/tags")"
    ;;
  up)
    file=$(printf '%s\\n' "$@" | sed -n 's/^--auth-key=file://p')
    stat -c '%a %n' "$file" >"$SANDBOX/key-file"
    cp "$file" "$SANDBOX/key-seen"
    [ -e "$SANDBOX/refuse" ] && { cat "$SANDBOX/refuse" >&2; exit 1; }
    echo Running >"$SANDBOX/state"
    ;;
  logout) echo NeedsLogin >"$SANDBOX/state" ;;
  debug) printf '{\\n\\t"ControlURL": "%s",\\n\\t"WantRunning": true\\n}\\n' "$(cat "$SANDBOX/control-url")" ;;
esac
"""

TAILSCALED = "#!/bin/bash\nexit 0\n"

SYSTEMCTL = """
case "$*" in
  *is-active*tailscaled.service) [ -e "$SANDBOX/active" ] ;;
  *is-active*edge-tailscale-leave*) [ -e "$SANDBOX/leaving" ] ;;
  *is-active*) exit 3 ;;
  is-enabled*) [ -e "$SANDBOX/enabled" ] ;;
  enable*) touch "$SANDBOX/enabled" ;;
  show*)
    printf 'ActiveState=%s\\n' "$([ -e "$SANDBOX/active" ] && echo active || echo inactive)"
    printf 'UnitFileState=%s\\n' "$([ -e "$SANDBOX/enabled" ] && echo enabled || echo disabled)" ;;
  *restart*tailscaled.service) touch "$SANDBOX/active" ;;
  *disable*tailscaled.service) rm -f "$SANDBOX/active" "$SANDBOX/enabled" ;;
esac
"""

# Timers fire at once here, and inside of the session: what runs is the same. Where a test has put `late`, they fire
# while somebody sleeps.
SYSTEMD_RUN = """
while [[ $1 == --* ]]; do shift; done
if [ -e "$SANDBOX/late" ]; then echo "$@" >"$SANDBOX/leaving"; exit; fi
"$@" || true
"""

SLEEP = """
[ -e "$SANDBOX/leaving" ] && [ ! -e "$SANDBOX/hangs" ] || exit 0
$(cat "$SANDBOX/leaving")
rm "$SANDBOX/leaving"
"""

# Nothing waits here, and no limit is longer than two seconds.
COMMANDS = {
    "systemctl": SYSTEMCTL,
    "systemd-run": SYSTEMD_RUN,
    "sleep": SLEEP,
    "restorecon": "",
    "timeout": 'shift; exec /usr/bin/timeout 2 "$@"',
}

BROKEN = {"starts for ever": "state=Starting", "does not answer": "exec /usr/bin/sleep 60"}
"""Ways of a release not to connect, and what its client does then."""


def archive(version: str = VERSION, *, broken: str | None = None) -> bytes:
    """``tailscale_<version>_amd64.tgz``; one that is ``broken`` does not connect, in one of the ways of `BROKEN`."""
    folder = f"tailscale_{version}_amd64"
    client = TAILSCALE.replace("$WHEN_ASKED", BROKEN[broken] if broken else ":")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in ((f"{folder}/tailscale", client), (f"{folder}/tailscaled", TAILSCALED)):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.uid = len(text), 0o755, 1000
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def berlin(name: str, distribution: str = "flatcar", *, address: str = "10.20.0.10", arch: Arch = "amd64") -> Machine:
    """A host of the site `berlin`."""
    return machine(name, address, site="berlin", distribution=distribution, figures={"arch": arch})


def tailscale(**fields: Any) -> TailscaleSpec:
    return TailscaleSpec.model_validate(
        {
            "kind": "tailscale",
            "version": VERSION,
            "sha256": {"amd64": "a" * 64, "arm64": "b" * 64},
            "tags": ["edge", "warehouse"],
            **fields,
        }
    )


def tailscale_of(content: bytes, **fields: Any) -> TailscaleSpec:
    """A spec whose checksum is that of ``content``."""
    return tailscale(sha256={"amd64": hashlib.sha256(content).hexdigest()}, **fields)
