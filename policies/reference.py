"""Writes ``docs/policies.md``, the reference of all rules, from the rules themselves."""

from __future__ import annotations

from pathlib import Path

from policies.charts import MINORS
from policies.rules import CATALOGUE, DEFAULT_REGISTRIES, DEFAULT_SETTINGS, GROUPS, Entry
from policies.rules.chart_records import DEFAULT_REVIEWS
from policies.rules.pod_security import POD_SECURITY_VERSION
from policies.rules.selection import STANDARDS
from policies.settings import SCHEMA

PAGE = Path(__file__).resolve().parent.parent / "docs" / "policies.md"

_INTRODUCTION = """\
# Policies

<!-- Written by `python -m policies.reference`. Change the rules, not this page. -->

What a site may not do. The same rules judge a site in three places:

- `edge check` runs them in-process over every resource of a site, in well under a second;
- `pulumi preview --policy-pack policies`, and every `edge preview` and `edge up`, runs them as a CrossGuard pack on
  what the engine is about to do;
- `edge check --manifests PATH` runs them on what Flux will apply, which never passes through Pulumi
  ([below](#manifests)). In the cluster, Pod Security admission enforces the same standard.

Most rules look at one resource. A rule that is marked "whole stack" looks at all resources together: all that one stack
has, or all manifests that are read together. In CrossGuard it runs once, after the last resource, on the same inputs
that the other rules saw.

A **mandatory** finding stops the run (exit code 1); an advisory finding is only shown. Workloads are Pod, PodTemplate,
Deployment, StatefulSet, DaemonSet, ReplicaSet, ReplicationController, Job, CronJob and every custom resource that
holds a container. A `...Patch` type is judged on the fields that it sets, a `...List` type item by item.

A value that is unknown during a preview never counts as compliant: a rule that needs it reports that it cannot judge
it, at the rule's own level. Some rules search whole objects. They only warn about an unknown value, because `up` shows
them the same property again, known, before anything is created:
{warning}.
A rule that raises an error is a mandatory finding. Findings name properties and never quote values.

Objects inside other objects are judged as if they stood alone: a container wherever a custom resource has it (Argo,
Tekton, OpenTelemetry, ...), manifests as objects or as text (Flux ResourceSet, K3s, ConfigMaps and Secrets), patches of
a Kustomization, and what the values of a chart set. An unknown value there fails as it does in a Deployment. In a
`...Patch`, a container with an image counts as new. What no rule can look into (template text, files, what another tool
fetches from elsewhere) is a finding of its own, `supply-chain/opaque`.

Not judged here: what Flux takes from its verified source; `edge check --manifests` judges that ([below](#manifests)).
During a CrossGuard preview Pulumi does not say which inputs are secret, so `secrets/marked-as-secret` is decided by
`edge check`.
"""


_MANIFESTS = """
## Manifests

```sh
edge check --manifests apps                             # a folder, a file, or several: --manifests A --manifests B
edge check --manifests clusters/berlin --json
helm template x ./chart | edge check --manifests -      # standard input
edge check --manifests apps --rules pss-restricted --sarif edge.sarif
```

A folder with a `kustomization.yaml` is rendered by the `kustomize` on PATH, or by `kubectl kustomize`. A folder without
one is read as Flux reads it: all manifests in it and below it, and a folder with a kustomization is rendered in place
of its files. Kustomize fetches remote bases itself, and runs no plugins. Everything that is given together is one stack
for the rules that look at whole stacks. It works in any folder; inside a project the project's settings and own rules
count.

The Pod Security Standards are read as the newest Kubernetes that the rules know reads them ({newest}); `--kubernetes
1.36` says which one will run the manifests. For a site it is the one that the site's K3s is.

Exit code 1 means a mandatory finding. Exit code 2 means that something was not judged: no YAML, no Kubernetes object, a
key twice, a kustomization that cannot be rendered or that nothing here can render. A finding has the file, line and
column of its property; of a rendered object, the file that it is from. Substitutions of Flux (`${{site}}`) and the
`targetNamespace` of a Flux Kustomization are not made: where a rule needs the value, it reports that it cannot judge
it.

`--rules` takes ids, groups, and the Pod Security Standards as they are, for manifests that are not bound to all of the
rules here:

| name | rules |
|---|---|
{standards}

`--sarif FILE` writes SARIF 2.1.0, for sites too. A waived finding is in it as suppressed, with the waiver's words.
GitHub refuses a log of more than 25,000 findings: then the gravest are kept, and the log says how many are left out.
The document of `--json` has all findings.
"""


_CHARTS = """
## Charts

What a Helm chart renders to is not among the resources of a site. So `edge check --charts` renders the charts by the
real `helm`, where it and the network are: each chart of the sites (a Release or Chart of Pulumi, a HelmRelease of Flux,
a HelmChart of K3s) with its values, for Kubernetes {minors}; with `--manifests PATH`, the charts that Flux installs.
All rules judge the objects. Verdicts are kept in `policies/charts.json`, in the company's pack: commit it. From then on
every `edge check`, preview and `up` uses the record and says so; none of them needs `helm` or the network. Credentials
a HelmChart of K3s) with its values, for Kubernetes {minors}; with `--manifests PATH`, the charts that Flux will
install. All rules judge the objects. Verdicts are kept in `policies/charts.json`, in the company's pack: commit it.
From then on every `edge check`, preview and `up` uses the record and says so; none of them needs `helm` or the
network. Credentials
among the values are left out of both.

A record is of one chart with one set of values. Another version, another value, or a value that is not known yet has no
record, and is refused as [`supply-chain/opaque`](#supply-chainopaque). So is a chart of the project whose files have
changed. A rule that is newer than the record is a finding until the chart is rendered again. Images are judged each
time, by the registries that are allowed then. A chart whose archive is another one under the same version fails
`edge check --charts`.

A company may answer for a chart at one version that it has read, by an entry below `reviews` in the same file. What the
chart's record finds is then shown as waived:

```json
{{
  "reviews": [
    {{
      "chart": "gpu-operator",
      "version": "26.3.1",
      "reason": "read line by line; its driver needs the host's devices",
      "owner": "platform team",
      "reviewed": "2026-11-01"
    }}
  ]
}}
```

The program does so for the charts of its own parts, at the releases that it comes with. **None of these was rendered**:
their repositories could not be reached where the program is made. Each is pinned to a version, not to a digest. With
another release, or to know more, run `edge check --charts`.

| chart | version | why |
|---|---|---|
{reviews}
"""


_WAIVERS = """
## Waivers

A site that must break a rule says so in its file, for a time:

```yaml
k3s: {flannel_backend: host-gw}
waivers:
  - rule: network/mtls-strict
    reason: the vendor's 5.15-tegra kernel has no WireGuard; both hosts are in one locked cabinet
    owner: platform team
    expires: 2027-01-31
```

All mandatory findings of that rule at that site are then shown as waived, with reason, owner and end, and do not stop
a run: in `edge check`, in a rehearsal, in `edge preview` and `edge up`, in the comment of a pull request, in the
report, and in `pulumi preview --policy-pack policies` (there by the advisory policy `edge-waived-advisory`). A waiver
can be bound to less than a whole rule:

```yaml
waivers:
  - rule: workload/no-privileged
    workload: gpu/DaemonSet/device-plugin       # namespace/Kind/name; * stands for any characters
    image: sha256:2f98a9...                     # and only as long as the container has this image
    reason: the device plugin of the vendor opens /dev/nvidia*
    owner: platform team
    expires: 2027-01-31
  - rule: supply-chain/flux-source-verified
    resource: berlin-01-flux                    # the name that the finding shows
    reason: the forge cannot sign commits before its upgrade
    owner: platform team
    expires: 2026-12-31
```

Of what a whole pod asks for, `image` must be the image of all its containers. The last day counts, in UTC. After it,
`edge check` fails at the line of the waiver, and the findings count again everywhere. `edge check` also fails at the
line of a waiver that covers nothing: its cause is gone. A rule that raises an error is never waived.

A company waives beside its settings, in `policies/waivers.yaml`. The fields are the same, and two more say where:

```yaml
# yaml-language-server: $schema=waivers.schema.json
waivers:
  - rule: network/mtls-strict
    sites: [store-*]                            # names of stacks; without it, all sites
    reason: the tills' kernel has no WireGuard; a new one comes in spring
    owner: platform team
    expires: 2027-03-31
  - rule: workload/no-host-namespaces
    manifests: [clusters/*/monitoring/*]        # what `edge check --manifests` judges, by its path in the project
    workload: monitoring/DaemonSet/node-exporter
    reason: it counts the processes of the host
    owner: platform team
    expires: 2027-03-31
```

An error in this file has line and column (exit code 2). `edge check` of all sites fails at the line of a waiver that
has expired or covers nothing at any of them; `edge check --manifests` at one whose path was read and that covers
nothing. The report lists these waivers beside those of the sites. `edge schema --write` writes the schemas of this file
and of `config.json`.
"""


_FRAMEWORKS = """
## Frameworks

The sections of published frameworks that the rules answer to. A rule helps to meet a section; whether a site meets it
as a whole is for an auditor to say. No rule is about the sections that are missing here: some ask for what people do,
some for what only a running cluster shows.
"""


_OWN = """
## A company's own settings and rules

A company's repository has a policy pack of its own in `policies/`: the rules above, with its settings and its own
rules. `edge init` writes the first three files:

```yaml
# policies/PulumiPolicy.yaml
description: What an edge site of ours may not do.
version: 0.1.0
runtime:
  name: python
  options:
    # Relative to this folder.
    virtualenv: ../.venv
```

```python
# policies/__main__.py
from pathlib import Path

from policies.pack import pack

pack(Path(__file__).parent)
```

```json
{}
```

The third one is `policies/config.json`, with the settings ([below](#settings)). Own rules are in one more file,
`policies/own_rules.py`. It defines `RULES`, `STACK_RULES` or both:

```python
# policies/own_rules.py
from collections.abc import Iterator

from policies.rules import Container, Pod, Rule, Subject, Violation, each_container, may_hold_pods

APPROVED = ("docker.io/otel/", "docker.io/rancher/", "nvcr.io/nvidia/", "registry.example.com/")


def approved(pod: Pod, container: Container) -> Iterator[Violation]:
    image = container.node.get("image")
    if not (image.text() or "").startswith(APPROVED):
        yield Violation(image.path, "names an image that Acme has not approved")


def owned(subject: Subject) -> Iterator[Violation]:
    owner = subject.get("metadata", "labels", "acme.example.com/owner")
    if owner.text() is None:
        yield Violation(owner.path, "is not there, so nobody knows whom to call")


RULES = (
    Rule(
        id="acme/approved-image",
        level="mandatory",
        severity="high",
        title="Every image is one that Acme has approved.",
        why="Acme answers to its customers for what runs at their sites.",
        remedy="Use an approved image, or ask the platform team to add it to `own_rules.py`.",
        url="https://wiki.acme.example.com/edge/images",
        applies=may_hold_pods,
        check=each_container(approved),
    ),
    Rule(
        id="acme/owner",
        level="advisory",
        severity="low",
        title="Every namespace has an owner.",
        why="Whoever is on call at night has to know whom to call.",
        remedy="Set the label `acme.example.com/owner`.",
        url="https://wiki.acme.example.com/edge/owners",
        applies=lambda kind: kind.provider == "kubernetes" and kind.name == "Namespace",
        check=owned,
        about="Namespace",
    ),
)
```

A rule is a pure function from a resource to what is wrong with it. `subject.get("spec", "replicas")` walks into the
resource; `text()`, `number()`, `flag()` and `each()` read it, and a value that is not known yet becomes a finding by
itself. A message names properties, and never quotes a value. A `StackRule` gets all objects of a stack that it applies
to, and returns each violation with the object that it is about; it is always mandatory.

An id is `<group>/<name>`. The group is one of your own or one of the groups above. Own rules run wherever the others
do: in `edge check`, `edge preview`, `edge up` and `pulumi preview --policy-pack policies`. A waiver covers them in the
same way, and one that raises an error is a mandatory finding. A file with an error, a taken id or a missing text is
refused with file and line (exit code 2); it never counts as a file without rules.
"""


def page() -> str:
    """The whole page."""
    warning = ",\n".join(f"`{rule.id}`" for rule in CATALOGUE if rule.unknown == "warns")
    parts = [_INTRODUCTION.format(warning=warning)]
    for group in GROUPS:
        rules = [rule for rule in CATALOGUE if rule.group == group]
        parts.append(f"\n## {group}\n")
        parts.append("| rule | level | severity | what | judges |\n|---|---|---|---|---|\n" + "".join(map(_row, rules)))
        parts += [_details(rule) for rule in rules]
    standards = "\n".join(f"| `{name}` | {', '.join(f'`{id}`' for id in ids)} |" for name, ids in STANDARDS.items())
    manifests = _MANIFESTS.format(standards=standards, newest=POD_SECURITY_VERSION)
    parts += [manifests, _charts(), _WAIVERS, _frameworks(), _OWN, _settings()]
    return "\n".join(parts)


def _charts() -> str:
    reviews = "\n".join(f"| `{one.chart}` | {one.version} | {one.reason} |" for one in DEFAULT_REVIEWS)
    return _CHARTS.format(minors=f"{MINORS[0]} to {MINORS[-1]}", reviews=reviews)


def _frameworks() -> str:
    """For each framework, the rules that answer to each of its sections."""
    answers: dict[str, dict[str, list[str]]] = {}
    for rule in CATALOGUE:
        for framework, section in rule.references:
            answers.setdefault(framework, {}).setdefault(section, []).append(rule.id)
    parts = [_FRAMEWORKS]
    for framework in sorted(answers):
        rows = (
            f"| {section} | {', '.join(_linked(id) for id in answers[framework][section])} |\n"
            for section in sorted(answers[framework], key=_in_order)
        )
        parts.append(f"### {framework}\n\n| section | rules |\n|---|---|\n{''.join(rows)}")
    return "\n".join(parts)


def _in_order(section: str) -> tuple[tuple[int, str], ...]:
    """Sections as people count them: 5.1.9 before 5.1.10."""
    return tuple((int(part), "") if part.isdigit() else (0, part) for part in section.split("."))


def _linked(rule: str) -> str:
    return f"[`{rule}`](#{rule.replace('/', '')})"


def _row(rule: Entry) -> str:
    anchor = rule.id.replace("/", "")
    return f"| [`{rule.id}`](#{anchor}) | {rule.level} | {rule.severity} | {rule.title} | {rule.about} |\n"


def _details(rule: Entry) -> str:
    return f"### `{rule.id}`\n\n{rule.title} {rule.why}\n\nRemedy: {rule.remedy} ([more]({rule.url}))\n"


def _settings() -> str:
    registries = "\n".join(f"- `{registry}`" for registry in DEFAULT_REGISTRIES)
    settings = "".join(f"| `{name}` | {schema['description']} |\n" for name, schema in SCHEMA.items())
    return (
        "\n## Settings\n\n"
        "`policies/config.json` holds the settings, under the pack's first policy; `edge check` and the pack both\n"
        "read it. Pulumi's `--policy-pack-config FILE` has the same form and takes precedence.\n\n"
        f"| setting | what |\n|---|---|\n{settings}\n"
        "```json\n"
        '{"edge-resources-mandatory": {"more_registries": ["registry.example.com/edge"]}}\n'
        "```\n\n"
        f"By default a mesh key lives at most {DEFAULT_SETTINGS.mesh_key_hours} h. Images may come from:\n\n"
        f"{registries}\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
