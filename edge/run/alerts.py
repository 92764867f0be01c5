"""Alert rules of sites as one rule file of Prometheus: what `edge render --alerts` writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.run.yaml_text import as_yaml
from stacks import parts
from stacks.catalogue import catalogue
from stacks.loader import load_site

Groups = Mapping[str, Sequence[Mapping[str, Any]]]


def alert_rules(files: Sequence[Path], root: Path) -> str:
    """The rules of these sites. Raises ``FileError`` with the problems of the first file that has any."""
    known = catalogue(root)
    sites = [load_site(file, root=root) for file in files]
    return rule_file(
        entry.part.alert_groups(entry.spec, parts.view(site, known)) for site in sites for entry in parts.entries(site)
    )


def rule_file(groups: Iterable[Groups]) -> str:
    """One file of all of them; a group that several have is there once."""
    merged = {name: list(rules) for each in groups for name, rules in each.items()}
    return as_yaml({"groups": [{"name": name, "rules": rules} for name, rules in merged.items()]})
