"""A look at a site's hosts beside a run of its program, which knows already what they are to hold.

What `edge drift` finds out with a run of its own, `edge up --drift` is told by the run that it makes anyway, and the
hosts are asked while the engine goes on. Owns the thread; looking is ``drift``'s.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.hosts.drift import Planned, Report, Tell
    from stacks.edge_site import EdgeSite

_TOLD_EACH_S = 0.2


class Look:
    """Of one site. ``begin`` is called by its program; ``again`` after something was changed; ``result`` waits."""

    def __init__(self, site: str) -> None:
        self._site = site
        self._known: Callable[[], tuple[Planned, str]] | None = None
        self._report: Future[Report] | None = None
        self._told = (0, 0)

    def begin(self, site: EdgeSite) -> None:
        """Start to look at the hosts of ``site``, unless that was done before."""
        from pulumi.runtime.config import get_config

        from edge.run.selection import selected
        from engine.environment import PROJECT_ROOT
        from stacks.secrets import NAMESPACE

        # What a program is told of the stack's settings is there for as long as it runs.
        key = get_config(f"{NAMESPACE}:ssh-private-key") or ""
        (file,) = selected([self._site], PROJECT_ROOT)

        def known() -> tuple[Planned, str]:
            from edge.hosts.drift import planned

            return planned(site, file), key

        self._known = known
        if self._report is None:
            self.again()

    def again(self) -> None:
        """Look once more, at what is there from now on."""
        assert self._known is not None, "the program has not run"
        self._report = Future()
        threading.Thread(target=self._look, args=(self._known, self._report), name="look", daemon=True).start()

    def result(self, tell: Tell) -> Report:
        """What was found. ``tell`` is told how far it has come. Raises what looking raises."""
        assert self._report is not None, "the program has not run"
        while wait((self._report,), _TOLD_EACH_S).not_done:
            tell(*self._told)
        return self._report.result()

    def _look(self, known: Callable[[], tuple[Planned, str]], report: Future[Report]) -> None:
        started = time.monotonic()

        def tell(done: int, hosts: int) -> None:
            self._told = (done, hosts)

        try:
            from edge.hosts.drift import Report, look_at

            site = look_at(*known(), tell)
            report.set_result(Report((site,), time.monotonic() - started))
        except BaseException as error:
            report.set_exception(error)
