"""Drift check that runs in parallel with `up`, whose program already knows what the hosts should hold.

Owns the thread; probing is ``drift``'s.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.hosts.drift import Planned, Report, Tell
    from edge.hosts.login import Login
    from stacks.edge_site import EdgeSite

_TOLD_EACH_S = 0.2


class DriftProbe:
    """Probes the hosts of one site. Its program calls ``start``; ``result`` waits.

    What it needs to connect is imported by ``load``, which may run while the engine starts.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: tuple[Planned, Login] | None = None
        self._report: Future[Report] | None = None
        self._progress = (0, 0)

    @staticmethod
    def load() -> None:
        """Import what the probe needs: a tenth of a second, mostly for SSH."""
        import edge.hosts.drift  # noqa: F401

    def start(self, site: EdgeSite) -> None:
        """Start to probe the hosts of ``site``, unless that has been done before. Called within the program."""
        from edge.hosts.drift import planned
        from edge.hosts.login import login_of_program

        # The stack's settings can be read for as long as its program runs.
        self._known = planned(site, self._file), login_of_program(site.spec)
        if self._report is None:
            self.restart()

    def restart(self) -> None:
        """Probe once more, after something was changed."""
        assert self._known is not None, "the program has not run"
        self._report = Future()
        threading.Thread(target=self._run, args=(*self._known, self._report), name="drift probe", daemon=True).start()

    def result(self, tell: Tell) -> Report:
        """Wait for the report; ``tell`` is called with the progress. Raises what probing raises."""
        assert self._report is not None, "the program has not run"
        while wait((self._report,), _TOLD_EACH_S).not_done:
            tell(*self._progress)
        return self._report.result()

    def _run(self, site: Planned, login: Login, report: Future[Report]) -> None:
        from edge.hosts.drift import Report, probe_site

        started = time.monotonic()

        def tell(done: int, hosts: int) -> None:
            self._progress = (done, hosts)

        try:
            report.set_result(Report((probe_site(site, login, tell),), time.monotonic() - started))
        except BaseException as error:
            report.set_exception(error)
