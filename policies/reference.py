"""The reference of all rules, ``docs/policies.md``, written from the rules themselves."""

from __future__ import annotations

from pathlib import Path

from policies.rules import DEFAULT_REGISTRIES, DEFAULT_SETTINGS, GROUPS, RULES, Rule
from policies.settings import SCHEMA

PAGE = Path(__file__).resolve().parent.parent / "docs" / "policies.md"

_INTRODUCTION = """\
# Policies

<!-- Written by `python -m policies.reference`. Change the rules, not this page. -->

What a site may not do. The same rules judge a site in three places:

- `edge check` runs them in-process over every resource of a site, in well under a second;
- `pulumi preview --policy-pack policies`, and every `edge preview` and `edge up`, runs them as a CrossGuard pack on
  what the engine is about to do;
- `policies.manifests` gives them rendered manifests: what Flux or a Helm chart applies never passes through Pulumi, so
  render it and judge it here. In the cluster itself, Pod Security admission holds the same line.

A **mandatory** finding stops the run (exit code 1); an advisory one is shown. Workloads are Pod, PodTemplate,
Deployment, StatefulSet, DaemonSet, ReplicaSet, ReplicationController, Job, CronJob and every custom resource that
embeds a pod template; all rules see through the `...Patch` types (judged on what they set) and the `...List` types
(judged item by item).

A value that a preview cannot know is never taken for a good one: a rule that must see it reports that it cannot, at
the rule's own level. Rules that look through whole objects only warn then, since `up` shows them the same property
again, known, before anything is created:
{warning}.
A rule that breaks is a mandatory finding. Findings name properties and never quote values.

Not judged here: patches inside a Flux Kustomization, the values of a Helm chart (render it), and images that a custom
resource names outside a pod template. In a CrossGuard preview Pulumi does not tell which inputs are secret, so
`secrets/marked-as-secret` is decided by `edge check`.
"""


def page() -> str:
    """The whole page."""
    warning = ",\n".join(f"`{rule.id}`" for rule in RULES if rule.unknown == "warns")
    parts = [_INTRODUCTION.format(warning=warning)]
    for group in GROUPS:
        rules = [rule for rule in RULES if rule.group == group]
        parts.append(f"\n## {group}\n")
        parts.append("| rule | level | severity | what | judges |\n|---|---|---|---|---|\n" + "".join(map(_row, rules)))
        parts += [_details(rule) for rule in rules]
    parts.append(_settings())
    return "\n".join(parts)


def _row(rule: Rule) -> str:
    anchor = rule.id.replace("/", "")
    return f"| [`{rule.id}`](#{anchor}) | {rule.level} | {rule.severity} | {rule.title} | {rule.about} |\n"


def _details(rule: Rule) -> str:
    return f"### `{rule.id}`\n\n{rule.title} {rule.why}\n\nRemedy: {rule.remedy} ([more]({rule.url}))\n"


def _settings() -> str:
    registries = "\n".join(f"- `{registry}`" for registry in DEFAULT_REGISTRIES)
    settings = "".join(
        f"| `{policy}` | `{name}` | {schema['description']} |\n"
        for policy, entries in SCHEMA.items()
        for name, schema in entries.items()
    )
    return (
        "\n## Settings\n\n"
        "In `policies/config.json`, which `edge check` and the pack both read, by policy name; Pulumi's\n"
        "`--policy-pack-config FILE` has the same form and goes before it.\n\n"
        f"| policy | setting | what |\n|---|---|---|\n{settings}\n"
        "```json\n"
        '{"edge-supply-chain-mandatory": {"more_registries": ["registry.example.com/edge"]}}\n'
        "```\n\n"
        f"A mesh key lives {DEFAULT_SETTINGS.mesh_key_hours} h at most by default. Images may come from:\n\n"
        f"{registries}\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
