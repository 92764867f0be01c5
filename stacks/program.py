"""The one Pulumi program: a stack's name -> its resources.

`__main__.py` calls ``build``. Every way to run the program goes through `__main__.py`: `pulumi`, and `edge`, which runs
it in its own process and learns what was built through ``observed``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import pulumi

from components.consequence import consents_of
from sitefile.problems import FileError
from stacks.catalogue import PROJECT_ROOT, catalogue
from stacks.configuration import ALLOW_DESTROY, NAMESPACE, full_key
from stacks.edge_site import EdgeSite, EdgeSiteArgs
from stacks.fleet.load import STACK as FLEET
from stacks.fleet.load import load_fleet
from stacks.loader import load_all, load_site, site_names
from stacks.parts import required
from stacks.shared import program as shared
from stacks.shared.settings import STACK as SHARED
from stacks.site import SiteSpec

Built = Callable[[EdgeSite], None]


@dataclass(frozen=True)
class _Observer:
    site: SiteSpec | None = None
    built: Built = lambda _site: None


_NOBODY = _Observer()
_observer: ContextVar[_Observer] = ContextVar("observer of the program", default=_NOBODY)


@contextmanager
def observed(built: Built, site: SiteSpec | None = None) -> Iterator[None]:
    """Within this context (and in no other thread), ``built`` is called with the site that the program has built.

    ``site`` is the stack's site where the caller has loaded it already: what was checked is what is built, even if the
    file is edited meanwhile.
    """
    token = _observer.set(_Observer(site, built))
    try:
        yield
    finally:
        _observer.reset(token)


def build(root: Path = PROJECT_ROOT) -> EdgeSite | None:
    """Build the running stack: the site that `edge:site` names (the stack's own name by default), the fleet, or what
    sites share.

    Returns the site, for what a company adds to it; None where there is none.

    ``root`` is the folder of the project, as ``stacks.project`` has it.
    """
    config, observer = pulumi.Config(NAMESPACE), _observer.get()
    name = config.get("site") or pulumi.get_stack()
    try:
        if observer.site is None and name == FLEET:
            _build_fleet(root)
            return None
        if observer.site is None and name == SHARED:
            if name in site_names(root):
                # Its stack has live resources, which a program without them would delete.
                raise pulumi.RunError(f"{name} is the stack of what sites share; a site needs another name")
            shared.build(root)
            return None
        spec = observer.site or load_site(name, root=root)
        consents = consents_of(config.get(ALLOW_DESTROY) or "")
    except FileError as error:
        raise pulumi.RunError(str(error)) from error
    except ValueError as error:
        raise pulumi.RunError(f"{full_key(ALLOW_DESTROY)}: {error}") from error
    secret = shared.secrets_of(config, required(spec), root)
    site = EdgeSite(spec.site, EdgeSiteArgs(spec, catalogue(root), secret, consents, root))
    for output, value in site.outputs.items():
        pulumi.export(output, value)
    observer.built(site)
    return site


def _build_fleet(root: Path) -> None:
    """Raises ``FileError`` if any site is wrong: rules made from half of the sites would lock the others out."""
    from stacks.fleet.component import Fleet, FleetArgs

    spec = load_fleet(root)
    sites, problems = load_all(root)
    if problems:
        raise FileError(problems)
    Fleet(FLEET, FleetArgs(spec, sites))
