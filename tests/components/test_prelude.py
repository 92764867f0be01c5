"""What scripts take of the prelude."""

from __future__ import annotations

import re

from components import shell
from tests.promises.recordings import scripts

NAMES = [name for name, _ in shell.prelude() if name]


def test_a_script_has_the_functions_of_the_prelude_that_it_calls_and_no_others() -> None:
    texts = [text for _, text in scripts()]
    assert len(texts) > 100
    assert {"say", "fail", "fetch"} <= set(NAMES)
    for text in texts:
        code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
        defined = [name for name in NAMES if f"\n{name}() {{" in text]
        called = [name for name in NAMES if re.search(rf"\b{name}\b(?!\(\))", code)]
        assert defined == called


def test_every_script_stops_at_its_first_failure_and_reads_all_of_its_input() -> None:
    always = "".join(text for name, text in shell.prelude() if not name)
    assert "set -euo pipefail" in always
    assert "mapfile -t given" in always
