"""The commands of README.md, CONTRIBUTING.md and docs/*.md, and what stands in for what cannot run here.

A page is one story: its ```sh blocks run in their order, in one shell, in one folder. A ```text block right below a
```sh block is what that block shows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from policies.rules import CATALOGUE
from stacks.project import PROGRAM_ROOT

PAGES = sorted(
    page.relative_to(PROGRAM_ROOT).as_posix()
    for pattern in ("README.md", "CONTRIBUTING.md", "docs/*.md")
    for page in PROGRAM_ROOT.glob(pattern)
)
# Another language is another kind of test, so a new one must be looked at.
LANGUAGES = {"sh", "text", "yaml", "python", "json", ""}

_FENCE = re.compile(r"^```(\w*)[^\S\n]*\n(.*?)^```[^\S\n]*$\n*", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    shown: str | None = None
    """The ```text block right below: what a reader sees."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str, text: str) -> list[Block]:
    """All blocks of ``text``, with the first line of each."""
    found = list(_FENCE.finditer(text))
    blocks = []
    for number, match in enumerate(found):
        following = found[number + 1] if number + 1 < len(found) else None
        below = following is not None and following.start() == match.end() and following[1] == "text"
        shown = following[2] if following is not None and below and match[1] == "sh" else None
        line = text.count("\n", 0, match.start()) + 2
        blocks.append(Block(page, line, match[1], match[2], shown))
    return blocks


def read(page: str) -> list[Block]:
    return blocks_of(page, (PROGRAM_ROOT / page).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Instead:
    """``run`` stands in for ``written``, which cannot run here. ``why`` says why not, and what runs it otherwise."""

    written: str
    run: str
    why: str


@dataclass(frozen=True)
class Example:
    """The block of a page that begins with ``start``, as the file ``path`` of a reader."""

    page: str
    start: str
    path: str

    @property
    def text(self) -> str:
        (found,) = [block.text for block in read(self.page) if block.text.startswith(self.start)]
        return found


@dataclass(frozen=True)
class Story:
    """How the blocks of one page run."""

    start: Literal["empty", "company"] = "empty"
    """An empty folder, or a company's repository of 50 shops, cloned from `origin`."""
    before: str = ""
    """What the page takes for granted, as shell commands."""
    files: tuple[Example, ...] = ()
    """Examples of other pages that the page refers to, written into the folder first."""
    values: Mapping[str, str] = field(default_factory=dict)
    """What a reader fills in."""
    instead: tuple[Instead, ...] = ()
    after: str = ""
    """What must hold then, as shell commands. `$SAID` is the folder of what each block has printed: 00, 01, ..."""

    def script(self, block: Block) -> str:
        """The block as it runs here."""
        text = block.text
        for one in self.instead:
            text = text.replace(one.written, one.run)
        for word, value in self.values.items():
            text = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w-])", lambda _, value=value: value, text)  # type: ignore[misc]
        return text

    def unused(self, blocks: list[Block]) -> list[str]:
        """What of the tables is on the page no more."""
        text = "".join(block.text for block in blocks)
        gone = [one.written for one in self.instead if one.written not in text]
        return gone + [word for word in self.values if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)]


_NOT_ON_AN_INDEX = Instead(
    "pipx install edge-sites\n", "edge --version\n", "not on an index: the wheel of this checkout is on PATH instead"
)
_VENV = Instead(
    "python3 -m venv .venv\n",
    'ln -s "$PROGRAM" .venv\n',
    "an environment that holds this wheel, made without a network",
)

_HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGUTsFj0fJGFCAezKpTemY70PPWDB7wgVmGWEEv02tz9"
_THREE_SHOPS_WITH_TELEMETRY = """
find sites -name 'shop-*' ! -name 'shop-0[127].yaml' -delete
for shop in sites/shop-*.yaml; do echo 'telemetry: {gateway: https://otlp.example.com/otlp}' >> "$shop"; done
echo glc_token > token
echo a passphrase > ~/passphrase
export PULUMI_CONFIG_PASSPHRASE_FILE=~/passphrase
"""
_A_STACK = """
mkdir ~/states
export PULUMI_BACKEND_URL="file://$HOME/states?metadata=skip" PULUMI_CONFIG_PASSPHRASE="a passphrase"
pulumi stack init prod
"""
_THE_SITE_OF_THE_QUICK_START = f"""
edge init shops
cd shops
ln -s "$PROGRAM" .venv
edge setup
edge new shop-ghent --from hpe-el8000 --tier near --region eu-west --address 10.90.0.11 --host-key '{_HOST_KEY}'
mkdir ~/states ~/.ssh
"""
_NO_DOWNLOAD = "downloads a plugin; test_the_plugins_of_the_page_are_those_of_constraints compares the versions"
_NO_HOST = "needs the plugins and a host: tests/lab/test_site_hosts.py"
_DOCTOR = """
edge doctor shop-ghent > doctor && exit 1
grep '^  broken  command plugin ' doctor
grep '^  broken' doctor | grep -vE '(command|kubernetes) plugin|shop-ghent-a ' && exit 1
"""

# Pages whose blocks another test runs.
_MANIFESTS = """
mkdir -p apps clusters/berlin
cat > apps/settings.yaml <<'END'
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: apps}
data: {interval: 10s}
END
cp apps/settings.yaml clusters/berlin
"""

ELSEWHERE = {"docs/package.md": "tests/package/test_page.py"}

STORIES = {
    "docs/policies.md": Story(
        before=_MANIFESTS,
        instead=(
            Instead(
                "helm template x ./chart |",
                "cat apps/settings.yaml |",
                "no helm: what it renders, tests/policies/test_charts.py judges",
            ),
        ),
        after="test -s edge.sarif",
    ),
    "docs/consequences.md": Story(start="company", before=_A_STACK),
    "docs/network.md": Story(
        start="company",
        before=_A_STACK + "echo user:password > login",
        values={"SITE": "prod"},
        instead=(Instead("-s SITE ", "-s SITE < login ", "nobody is here to be asked"),),
        after="grep -q 'edge:proxy-login:' Pulumi.prod.yaml && ! grep -r user:password Pulumi.prod.yaml",
    ),
    "docs/telemetry.md": Story(
        start="company",
        before=_THREE_SHOPS_WITH_TELEMETRY,
        after="test $(grep -c 'alert: EdgeSiteOffline' alerts.yaml) -eq 3 && grep -q edge-sites dashboard.json",
    ),
    "README.md": Story(
        instead=(
            Instead("make demo ", 'make -C "$CHECKOUT" demo ', "the checkout that a reader stands in"),
            Instead("make test ", ": make test ", "this is that test"),
            _NOT_ON_AN_INDEX,
        ),
    ),
    "docs/own-repository.md": Story(
        values={"ADDRESS": "10.90.0.11", "KEY": _HOST_KEY}, instead=(_NOT_ON_AN_INDEX, _VENV)
    ),
    "docs/extending.md": Story(
        start="company",
        files=(
            Example("docs/layers.md", "# profiles/hardware/acme-box.yaml\n", "profiles/hardware/acme-box.yaml"),
            Example("docs/layers.md", "# profiles/accelerators.yaml\n", "profiles/accelerators.yaml"),
            Example("docs/policies.md", "# policies/own_rules.py\n", "policies/own_rules.py"),
            Example("docs/own-repository.md", "from pathlib import Path\n\nimport pulumi\n", "__main__.py"),
        ),
        values={"ADDRESS": "10.90.0.11", "KEY": _HOST_KEY},
        after=f"""
grep acme-box "$SAID/00"
grep 'policies: {len(CATALOGUE) + 2} rules on 14 resources' "$SAID/01"
""",
    ),
    "docs/operations.md": Story(
        start="company",
        before=_THREE_SHOPS_WITH_TELEMETRY,
        values={"SITE": "shop-07", "berlin": "shop-01", "madrid": "shop-02"},
        instead=(
            Instead("--set telemetry-token   ", "--set telemetry-token < token ", "nobody is here to be asked"),
            Instead(
                "edge kubeconfig SITE", ": edge kubeconfig SITE", "a real cluster: tests/lab/test_site_kubeconfig.py"
            ),
            Instead("edge preview SITE --save-plan", ": edge preview SITE --save-plan", "tests/edge/test_plans.py"),
            Instead("edge up SITE --plan", ": edge up SITE --plan", "tests/edge/test_plans.py"),
        ),
    ),
    "docs/quick-start.md": Story(instead=(_NOT_ON_AN_INDEX, _VENV)),
    "docs/production.md": Story(
        before=_THE_SITE_OF_THE_QUICK_START,
        values={"ADDRESS": "10.90.1.11"},
        instead=(
            Instead("pulumi plugin install resource command 1.2.1\n", ":\n", _NO_DOWNLOAD),
            Instead("pulumi plugin install resource kubernetes 4.34.2\n", ":\n", _NO_DOWNLOAD),
            Instead(
                "PULUMI_BACKEND_URL=s3://acme-edge-states",
                'PULUMI_BACKEND_URL="file://$HOME/states?metadata=skip"',
                "no bucket: a folder",
            ),
            Instead("pulumi up --stack fleet", ": pulumi up --stack fleet", "no tailnet: tests/stacks/test_fleet.py"),
            Instead(
                "--host-key-from ADDRESS",
                "--host-key \"$(cut -d' ' -f1,2 ~/.ssh/edge.pub)\"",
                "no host answers, and nobody confirms its fingerprint: tests/edge/test_new.py",
            ),
            Instead("edge doctor shop-ghent\n", _DOCTOR, "it fails here for want of plugins and the host alone"),
            Instead("edge preview shop-ghent\n", "edge preview shop-ghent --rehearse\n", _NO_HOST),
            Instead("edge up shop-ghent\n", "edge up shop-ghent --rehearse\n", _NO_HOST),
            Instead(
                "edge kubeconfig shop-ghent",
                ": edge kubeconfig shop-ghent",
                "a cluster: tests/lab/test_site_kubeconfig.py",
            ),
        ),
    ),
    "docs/pull-requests.md": Story(
        start="company",
        before="sed -i 's/10.9.7.11/10.9.7.12/' sites/shop-07.yaml",
    ),
}
