"""Writes docs/consequences.md from the kinds of edit: `python -m stacks.consequences_reference`."""

from __future__ import annotations

from components.consequence import Edit, Effect
from components.host import consequences as hosts
from stacks.catalogue import PROJECT_ROOT
from stacks.consequences import edits

PAGE = PROJECT_ROOT / "docs" / "consequences.md"

_UP = {
    Effect.IMPOSSIBLE: "refuses; exit code 1",
    Effect.DESTROYS: "refuses without `--allow-destroy`; exit code 1",
    Effect.INTERRUPTS: "shows it, and goes on",
    Effect.HARMLESS: "goes on",
}
_WORDS = {
    Effect.IMPOSSIBLE: "cannot work",
    Effect.DESTROYS: "destroys",
    Effect.INTERRUPTS: "interrupts",
    Effect.HARMLESS: "harmless",
}

_HEAD = """# What an edit does to a site that is up

<!-- Written by `python -m stacks.consequences_reference`. Change the edits in the parts' folders, not this page. -->

`edge preview`, the question of `edge up`, and `edge check --against STATE-OR-REF` compare the site file with what was
applied, and say this before everything else. What was applied is read from the stack's state: from the scripts and
inputs of resources that were finished, not from what a component announced. What cannot be known counts as
destroying.

- **cannot work**: refused, with the way that does work.
- **destroys**: data or an identity is lost. `edge up SITE --allow-destroy HOST-OR-PART` consents, once for each host
  or part.
- **interrupts**: something that runs stops for a while.
- **harmless**: nothing of that.

`edge destroy SITE` says what goes, and asks for the site's name.

## The edits

| edit | preview says | `edge up` | plain `pulumi up` | name |
|---|---|---|---|---|
"""

_TAIL = """
Entries in bold are what plain `pulumi` cannot stop: Pulumi runs a clean-up script of the state as soon as its
resource is no longer in the program. Use `edge up` to remove anything.

## Consent for plain `pulumi up`

K3s' install script asks the disk before it changes it, and stops with nothing touched where datastore, networks,
release, role or node name do not agree. Consent is a setting of the stack that names host and change (the last column
above):

```sh
pulumi config set --stack prod edge:allow-destroy prod-a:k3s-patch-downgrade:2026-11-26
```

Several are separated by spaces. The last word is yours; it makes the consent one that counts once: the host notes it
in `/var/lib/edge/consents`. It reaches the host by standard input and is in no trigger. Remove the setting
afterwards; K3s' script then runs once more, and changes nothing. `edge up --allow-destroy` sets and removes it by
itself.

## Whose host is this

Each host carries its owner in `/var/lib/edge/owner`: site, node, and the identity of the stack, which is made once
and kept in the state. The first script of every run asks for it, and stops where the host is another site's, another
node's or another stack's; the message names both. A host of a site that was up before hosts were marked is marked by
the next `up`, if its K3s has this node's name and this stack's token; its state pins the host by its key. A host
whose K3s has another token is refused before anything is changed on it.

To adopt a host on purpose (its old site is gone, or the state of its own was lost), consent to it and run `up`:

```sh
pulumi config set --stack prod edge:allow-destroy prod-a:host-adopted:2026-11-26
```

Only the mark changes hands. K3s of another node on that host stops the run later: remove it first
(`k3s-uninstall.sh`, or `edge destroy` of the old site). Kubernetes that this program did not install (RKE2, k0s,
kubeadm, another K3s) is refused.

## The first `up` of this release

The state of a live site holds the clean-up scripts of the release before, which do not ask a host for its name. The
first `edge up` replaces them. Until then, `edge` refuses removals and renames. Plain `pulumi` does not: run `edge up`
once, without other edits, before you remove or rename anything.

## Renaming

Write the new name of a host and `renamed_from` with the old one. The resources are the same ones, host name and name
in the mesh change, and the Kubernetes node keeps its name. Keep `renamed_from` as long as the host lives. A site
cannot be renamed: names of nodes, devices and registrations are made of its id.
"""


def page() -> str:
    """The whole page."""
    rows = sorted(edits(), key=lambda edit: edit.effect.rank)
    return _HEAD + "".join(map(_row, rows)) + _TAIL


_OTHERWISE = {
    hosts.SITE_REMOVED: ("destroys", "asks for the site's name (`edge destroy`)"),
    # Only the host knows.
    hosts.ADOPTED: ("nothing", "stops at the first script, without consent"),
}


def _row(edit: Edit) -> str:
    says, up = _OTHERWISE.get(edit, (_WORDS[edit.effect], _UP[edit.effect]))
    return f"| {edit.title} | {says} | {up} | {edit.plain} | `{edit.name}` |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
