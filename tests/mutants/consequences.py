"""Mutants of what keeps a live site from being destroyed in silence: consequences, owners, the disk that is asked."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_UP = "tests/edge/test_consequences.py"
_EDITS = "tests/stacks/test_consequences.py"
_OWNER = "tests/components/host/test_owner.py"
_PROOF = "tests/components/k3s/test_proof.py"
_DISK = "tests/components/k3s/test_disk_agrees.py"

CONSEQUENCES: tuple[Mutant, ...] = (
    Mutant(
        "`up` destroys nothing that nobody has consented to",
        "edge/run/consent.py",
        "missing = [one for one in destroys if not allowed_by(one, allowed)]",
        "missing: list[Consequence] = []",
        (_UP,),
    ),
    Mutant(
        "consent to one host is no consent to another",
        "edge/run/consent.py",
        "return any(name in allowed for name in one.names)",
        "return bool(allowed)",
        (_UP,),
    ),
    Mutant(
        "`up` refuses what cannot work",
        "edge/run/consent.py",
        "cannot = [one for one in found if one.effect is Effect.IMPOSSIBLE]",
        "cannot: list[Consequence] = []",
        (_UP,),
    ),
    Mutant(
        "consent is forgotten once an `up` has used it",
        "edge/run/operation.py",
        "if consent and outcome.code == DONE:",
        "if False:",
        (_UP,),
    ),
    Mutant(
        "an `up` that was killed leaves open what it did, and both answers count",
        "stacks/consequences.py",
        'return done, Applied.of(held_in({one["urn"]: one for one in (*resources, *begun)}.values()))',
        "return (done,)",
        (_UP, _EDITS, "tests/stacks/test_site_changes.py"),
    ),
    Mutant(
        "a host of another site is refused",
        "components/host/reachable.sh.j2",
        "consented host-adopted || fail",
        "consented host-adopted || true || fail",
        (_OWNER,),
    ),
    Mutant(
        "an unmarked host is marked only where its K3s has this stack's token",
        "components/k3s/held_token.sh.j2",
        '[ "${held#K10*::*:}" = "${proof#K10*::*:}" ] || foreign_to_site',
        "true || foreign_to_site",
        (_PROOF,),
    ),
    Mutant(
        "an unmarked host is asked for its token before anything is changed on it",
        "components/host/base.sh.j2",
        "if [ ! -f {{ owner }} ]; then",
        "if [ -f {{ owner }} ]; then",
        (_PROOF,),
    ),
    Mutant(
        "a host of this name in another stack is refused",
        "components/host/reachable.sh.j2",
        'case "$(owned site) $(owned node) $(owned stack)" in',
        'case "$(owned site) $(owned node) $stack" in',
        (_OWNER,),
    ),
    Mutant(
        "a clean-up acts only on a host that carries its own name",
        "components/own_name.sh.j2",
        'if [ -n "$carries" ] && [ "$carries" != "$mine" ]; then',
        "if false; then",
        (_OWNER, "tests/components/k3s/test_scripts.py", "tests/components/host/test_scripts.py"),
    ),
    Mutant(
        "K3s that this site did not install is not taken over",
        "components/host/foreign.sh.j2",
        "if [ ! -f /var/lib/edge/owner ] && k3s_ran; then",
        "if false; then",
        (_OWNER, "tests/components/host/test_scripts.py"),
    ),
    Mutant(
        "consent is good once",
        "components/consents.sh.j2",
        '&& ! grep -qxF -- "$consent" "$used" 2>/dev/null; then',
        "; then",
        (_OWNER, _DISK),
    ),
    Mutant(
        "another datastore does not start a new, empty cluster on a live server",
        "components/k3s/disk_agrees.sh.j2",
        '*) agreed k3s-datastore-replaced "$another" "Keep the datastore" ;;',
        "*) ;;",
        (_DISK,),
    ),
    Mutant(
        "pod and service networks of a live server stay",
        "components/k3s/disk_agrees.sh.j2",
        '[ -z "$now" ] || [ "$now" = "${setting#*=}" ] ||',
        "true ||",
        (_DISK,),
    ),
    Mutant(
        "a server is not taken back to an older minor release",
        "components/k3s/disk_agrees.sh.j2",
        '[ "$to_minor" -ge "$minor" ] || refuse_change',
        "true || refuse_change",
        (_DISK,),
    ),
)
