"""What scripts take of the prelude."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

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


LEAVES_EARLY = re.compile(
    r"(?<!\|)\|(?!\|)\s*(?:\\\n\s*)?"
    r"(?:grep\b[^|\n]*? -[A-Za-z]*[qm]|head\b|sed\b[^|\n]*[/}{;]q['; }]|read\b|\{ *read\b)"
)
"""A reader that may end before the one that writes to it, which then ends by SIGPIPE and fails the pipeline."""

FAILS_IN_ANY_CASE = {
    "host_metrics.sh": "it is for a shell without `pipefail`",
    "host_health_read.sh": "it is a part of `host_metrics.sh`",
    "register.sh.j2": "a manifest that is larger than it may be",
}


def test_no_pipeline_fails_because_its_reader_has_seen_enough() -> None:
    components = Path(shell.__file__).parent
    paths = [path for kind in ("*.j2", "*.sh", "*.py") for path in components.rglob(kind)]
    found = {path.name: said for path in paths if (said := LEAVES_EARLY.findall(path.read_text()))}
    assert found.keys() == FAILS_IN_ANY_CASE.keys(), found


@pytest.mark.parametrize(
    "script",
    [
        "ip route | grep -q .",
        "ip route | grep -w -qF x",
        "tac x |\n  head -n 1",
        "sed x y | sed '/z/q'",
        "a | read -r b",
    ],
)
def test_such_a_reader_is_found(script: str) -> None:
    assert LEAVES_EARLY.search(script)


def test_the_root_of_a_long_bundle_of_authorities_is_found(tmp_path: Path) -> None:
    """`tac` writes more than a pipe holds, and the root is the first that it writes."""
    one = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"
    (tmp_path / "ca.pem").write_text(one.format("\n".join(["leaf"] * 50_000)) + one.format("root"))
    functions = shell.environment().get_template("k3s/hashed_ca.sh.j2").render()
    script = f"set -euo pipefail\n{functions}\nroot_of {tmp_path}/ca.pem"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, one.format("root")), done.stderr
