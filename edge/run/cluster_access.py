"""The kubeconfig that a stack holds of its cluster: when it has to be read again, and whether the cluster takes it.

The official Kubernetes plugin calls every cluster unreachable whose schema it cannot read, also one that refuses its
credential. With `skipUpdateUnreachable`, which sites need that are offline, it then skips every change, with a warning
that gives no reason. So the reason is looked for here, and only an offline cluster is skipped.
"""

from __future__ import annotations

import base64
import http.client
import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import yaml

from components import urls
from components.k3s.credential import Credential, credential_of
from edge.run.expiring import KUBECONFIG, Renewal
from edge.run.surroundings import temporary_folder

if TYPE_CHECKING:
    from edge.run.events import Diagnostic
    from stacks.edge_site import EdgeSite

_SKIPPED = re.compile(r"cluster is unreachable", re.IGNORECASE)
_ANSWERS_WITHIN_S = 10


class Refused(Exception):
    """The cluster answers, and does not take the credential, or is not the one of the kubeconfig."""


@dataclass
class ClusterAccess:
    """What the program of a site tells of it in each of its runs, by ``learn``."""

    kubeconfig: str = field(default="", repr=False)
    """Empty where it is not known: before a first `up`, and in a preview in which it is read again."""
    urn: str = ""

    def learn(self, site: EdgeSite) -> None:
        """Take from a built site what is needed. Called within its program."""
        self.kubeconfig = self.urn = ""
        if site.cluster and (held := site.cluster.held):
            from pulumi import Output

            Output.all(held.text, held.urn).apply(lambda values: self._hold(*values))

    def _hold(self, kubeconfig: str, urn: str) -> None:
        self.kubeconfig, self.urn = kubeconfig, urn

    @property
    def credential(self) -> Credential | None:
        """Its client certificate; None where there is none that can be read."""
        try:
            return credential_of(self.kubeconfig)
        except ValueError:
            return None

    def renewal(self, said: Iterable[Diagnostic]) -> Renewal | None:
        """Why the kubeconfig has to be read again, after a run that has ``said`` this; None where it need not be."""
        if not self.urn or "client-certificate-data" not in self.kubeconfig:
            return None
        credential, now = self.credential, datetime.now(UTC)
        if credential is None:
            return Renewal(KUBECONFIG, self.urn, "its client certificate cannot be read")
        if now >= credential.ends:
            return Renewal(KUBECONFIG, self.urn, f"it was valid until {credential.until}")
        if now >= credential.due:
            return Renewal(KUBECONFIG, self.urn, f"it is valid until {credential.until}")
        if reason := self.refused(said):
            return Renewal(KUBECONFIG, self.urn, reason)
        return None

    def refused(self, said: Iterable[Diagnostic]) -> str | None:
        """Why the cluster does not take the kubeconfig, where a run has skipped changes; None where it is offline."""
        if not self.kubeconfig or not any(_SKIPPED.search(one.message) for one in said):
            return None
        try:
            contact(self.kubeconfig)
        except Refused as error:
            return str(error)
        except OSError:
            return None
        return None


def contact(kubeconfig: str) -> None:
    """Ask the API for its version. Raises ``Refused``, and OSError where nothing answers."""
    document: dict[str, Any] = yaml.load(kubeconfig, Loader=yaml.CSafeLoader)
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    server = urls.parse(cluster["server"])
    try:
        context = ssl.create_default_context(cadata=_decoded(cluster["certificate-authority-data"]))
        with temporary_folder() as folder:
            # The library takes files only. The folder is the user's alone, and goes at once.
            pair = folder / "client.pem"
            pair.touch(0o600)
            pair.write_text(_decoded(user["client-certificate-data"]) + _decoded(user["client-key-data"]))
            context.load_cert_chain(pair)
        connection = http.client.HTTPSConnection(server.host, server.port, context=context, timeout=_ANSWERS_WITHIN_S)
        try:
            connection.connect()
            status = _version(connection)
        finally:
            connection.close()
    except ssl.SSLCertVerificationError as error:
        raise Refused(
            f"{cluster['server']} does not show a certificate of this cluster: {error.verify_message}"
        ) from None
    except ssl.SSLError as error:
        raise Refused(f"{cluster['server']} refuses the connection: {error.reason or 'TLS failed'}") from None
    except ConnectionError as error:
        if isinstance(error, _Ended):
            raise Refused(f"{cluster['server']} ends the connection once it has seen the client certificate") from None
        raise
    if status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
        word = "unauthorized" if status == http.client.UNAUTHORIZED else "forbidden"
        raise Refused(f"{cluster['server']} answers and does not take the kubeconfig: {word} ({status})")


class _Ended(ConnectionError):
    """The cluster has shown its certificate, and has ended the connection then."""


def _version(connection: http.client.HTTPSConnection) -> int:
    """The status of an answer. With TLS 1.3, a refused client certificate is told after the handshake only."""
    try:
        connection.request("GET", "/version")
        return connection.getresponse().status
    except (ConnectionError, http.client.HTTPException):
        raise _Ended from None


def _decoded(data: str) -> str:
    return base64.b64decode(data).decode()
