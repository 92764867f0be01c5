"""A site and specs that the tests of Rancher start from, and a Rancher and a cluster for its scripts to talk to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from components.registration.rancher.spec import RancherSpec
from components.view import Site
from stacks.catalogue import catalogue
from stacks.loader import load_site
from stacks.parts import view
from tests.sandbox import Run, Sandbox

SPEC = load_site("mill-tampere")
SITE: Site = view(SPEC, catalogue())
"""Three servers, imported into a Rancher with a private authority."""


def rancher(**fields: Any) -> RancherSpec:
    return RancherSpec.model_validate({"kind": "rancher", "api_url": "https://rancher.example.com", **fields})


def authority(folder: Path, name: str) -> tuple[str, Path]:
    """A new self-signed certificate for this machine: its PEM, and the file of certificate and key for a server."""
    both, certificate = folder / f"{name}.pem", folder / f"{name}.crt"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ),
            *("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", both, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    both.write_text(both.read_text() + certificate.read_text())
    return certificate.read_text(), both


TOKEN = "marker7hq2k9registrationtoken"
"""Of the registration: in the URL of the manifest, and in the manifest."""

PORT = 8443

_RANCHER = """
import glob, http.server, os, ssl
box = os.environ["SANDBOX"]

class Rancher(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        # Whoever looks at the machine while curl waits for its answer sees this.
        with open(box + "/seen", "ab") as seen:
            for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
                try:
                    seen.write(open(path, "rb").read() + b"\\n")
                except OSError:
                    pass
        with open(box + "/requests", "a") as requests:
            requests.write(self.path + "\\n")
        status, body = 200, open(box + "/manifest").read().encode()
        if not self.path.startswith("/v3/import/"):
            status, body = 404, b"not found"
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

server = http.server.HTTPServer(("127.0.0.1", PORT), Rancher)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(box + "/rancher.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
open(box + "/listening", "w").close()
server.serve_forever()
"""

_CLUSTER = """
import json, os, re, sys
path = os.environ["SANDBOX"] + "/cluster.json"
cluster = json.load(open(path)) if os.path.exists(path) else None
if cluster is None or sys.argv[1] != "kubectl":
    sys.exit("The connection to the server was refused")
options, words, skip = {}, [], False
rest = sys.argv[2:]
for index, argument in enumerate(rest):
    if skip:
        skip = False
    elif argument.startswith("--") and "=" in argument:
        options.update([argument[2:].split("=", 1)])
    elif argument in ("--namespace", "--output", "--type", "--patch", "--raw"):
        options[argument[2:]], skip = rest[index + 1], True
    elif argument.startswith("--"):
        options[argument[2:]] = "true"
    else:
        words.append(argument)
namespace, output = options.get("namespace"), options.get("output", "")

def key(kind, name, within=None):
    return f"{kind.rstrip('s')}/{within or ''}/{name}"

def done(text="", code=0):
    json.dump(cluster, open(path, "w"))
    sys.stdout.write(text)
    sys.exit(code)

def drop(each):
    if cluster[each].get("finalizers"):
        cluster[each]["deleted"] = True
        return
    del cluster[each]
    kind, _, name = each.split("/")
    if kind == "namespace":
        for inner in [one for one in cluster if one.split("/")[1] == name]:
            del cluster[inner]

verb = words[0] if words else "get"
if "raw" in options:
    done("ok")
if verb == "get" and len(words) == 3:
    found = cluster.get(key(words[1], words[2], namespace if words[1] not in ("namespace",) else None))
    if found is None:
        done(code=0 if "ignore-not-found" in options else 1)
    if output == "name":
        done(f"{words[1]}/{words[2]}\\n")
    if "annotations" in output:
        done(found.get("annotations", {}).get(output.split("annotations.")[1].rstrip("}").replace("\\\\.", "."), ""))
    phase = "Terminating" if found.get("deleted") else "Active"
    done({"{.metadata.uid}": found.get("uid", ""), "{.status.phase}": phase}[output.removeprefix("jsonpath=")])
if verb == "get":
    rows = []
    for each, found in cluster.items():
        kind, within, name = each.split("/")
        if kind == words[1].rstrip("s"):
            finalizers = json.dumps(found["finalizers"], separators=(",", ":")) if found.get("finalizers") else ""
            rows.append(f"{within}|{name}|{finalizers}\\n" if "finalizers" in output else f"{name}\\n")
    done("".join(rows))
if verb == "create":
    cluster[key(words[1], words[2])] = {}
    done()
if verb == "annotate":
    name, value = words[3].split("=")
    cluster[key(words[1], words[2])].setdefault("annotations", {})[name] = value
    done()
if verb == "apply":
    text = sys.stdin.read()
    if "REFUSED" in text:
        sys.stderr.write("error: " + text)
        done(code=1)
    if cluster.get("namespace//cattle-system", {}).get("deleted"):
        done(code=1)
    document = r"^kind: (\\w+)\\nmetadata:\\n  name: (\\S+)(?:\\n  namespace: (\\S+))?"
    for kind, name, within in re.findall(document, text, re.M):
        labels = {"creator": "norman"} if name == "cattle-admin" else {}
        cluster.setdefault(key(kind.lower(), name, within), {}).update(labels)
    done()
if verb == "patch":
    each = key(words[1], words[2], namespace)
    cluster[each]["finalizers"] = json.loads(options["patch"])["metadata"]["finalizers"]
    if cluster[each].get("deleted"):
        drop(each)
    done()
if verb == "delete":
    for kind in words[1].split(","):
        for each in list(cluster):
            found, within, name = each.split("/") if each in cluster else ("", "", "")
            chosen = name in words[2:] or ("all" in options and within == namespace) or (
                "selector" in options and cluster.get(each, {}).get("creator"))
            if found == kind.rstrip("s") and chosen:
                drop(each)
    done()
if verb == "wait":
    done(code=1 if key(*words[1].split("/")) in cluster else 0)
if verb == "rollout":
    done(code=0 if "deployment/cattle-system/cattle-cluster-agent" in cluster and not cluster.get("late//") else 1)
done("unexpected: " + " ".join(words), 64)
"""

MANIFEST = f"""---
apiVersion: v1
kind: Namespace
metadata:
  name: cattle-system
---
apiVersion: v1
kind: Secret
metadata:
  name: cattle-credentials-0123abc
  namespace: cattle-system
data:
  token: {TOKEN}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: cattle-admin
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: cattle-admin-binding
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: cattle-cluster-agent
  namespace: cattle-system
"""
"""The shape of Rancher's own."""

_CURL = 'exec /usr/bin/curl "$@"\n'


def server(folder: Path) -> Sandbox:
    """A first server beside a Rancher: the real curl, and a cluster of which only what the scripts ask is true."""
    box = Sandbox(
        folder, {"curl": _CURL, "k3s": f'exec {sys.executable} -I -S "$SANDBOX/cluster.py" "$@"\n', "sleep": ""}
    )
    (folder / "cluster.py").write_text(_CLUSTER)
    (folder / "rancher.py").write_text(_RANCHER.replace("PORT", str(PORT)))
    (folder / "manifest").write_text(MANIFEST)
    (folder / "requests").write_text("")
    (folder / "seen").write_text("")
    return box


def beside_rancher(box: Sandbox, script: str, stdin: str) -> Run:
    """Run ``script`` where Rancher is reachable, with the certificate that ``rancher.pem`` of the sandbox holds."""
    (box.home / "listening").unlink(missing_ok=True)
    start = (
        f'/sbin/ip link set lo up\n{sys.executable} -I -S "$SANDBOX/rancher.py" </dev/null >/dev/null 2>&1 &\n'
        'until [ -e "$SANDBOX/listening" ]; do :; done\n'
    )
    return box.run(start + script, stdin=stdin)
