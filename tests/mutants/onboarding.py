"""Mutants of what is promised of new sites, of secrets that are made, and of explanations."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_NEW = "tests/edge/test_new.py"
_SECRETS = "tests/edge/test_secrets_command.py"
_SHARED = "tests/promises/test_shared_secrets.py"
_PROVIDER = "tests/edge/test_secrets_provider.py"
_EXPLAIN = "tests/edge/test_explain.py"
_OPERATION = "edge/run/operation.py"

ONBOARDING: tuple[Mutant, ...] = (
    Mutant("a new site overwrites no file", "edge/run/new_site.py", "if file.exists() or", "if False and", (_NEW,)),
    Mutant(
        "a host key is not believed by itself",
        "edge/commands/new.py",
        "    if not asking.possible:\n        raise",
        "    if not asking.possible:\n        return shown.key\n        raise",
        (_NEW,),
    ),
    Mutant(
        "a fingerprint is compared",
        "edge/hosts/first_contact.py",
        'if wanted.rstrip("=") != shown.fingerprint:',
        "if False:",
        (_NEW,),
    ),
    Mutant("a site takes no machine of another", "edge/commands/new.py", "clashes([draft], root)", "[]", (_NEW,)),
    Mutant("of many new sites all or none are written", "edge/run/new_site.py", "file.unlink()", "pass", (_NEW,)),
    Mutant(
        "a secret is in no argument",
        _OPERATION,
        "full_key(key)], stdin=value)",
        'full_key(key), value], stdin="")',
        (_SECRETS,),
    ),
    Mutant(
        "a secret is encrypted",
        _OPERATION,
        '"config", "set", "--secret",',
        '"config", "set", "--plaintext",',
        (_SECRETS,),
    ),
    Mutant(
        "a token that is set is not replaced",
        "edge/run/site_secrets.py",
        'if one.state == "missing" and one.generated',
        "if one.generated",
        (_SECRETS,),
    ),
    Mutant(
        "no token is made for a live cluster", "edge/run/site_secrets.py", "if live and made:", "if False:", (_SECRETS,)
    ),
    Mutant(
        "the token of a cluster is never shared",
        "stacks/shared/program.py",
        "if not need.own}",
        "if need}",
        (_SHARED,),
    ),
    Mutant(
        "a site's own secret comes before a shared one",
        "stacks/shared/program.py",
        "if own is not None:",
        "if own is not None and key not in keys():",
        (_SHARED,),
    ),
    Mutant(
        "a shared secret is secret in the state of a site",
        "stacks/shared/program.py",
        "pulumi.Output.secret(_value(key, values()))",
        "pulumi.Output.from_input(_value(key, values()))",
        ("tests/stacks/test_shared.py",),
    ),
    Mutant(
        "a new stack gets the provider that is written down",
        "edge/run/operation.py",
        "secrets_provider=self.secrets_provider or None",
        "secrets_provider=None",
        (_PROVIDER,),
    ),
    Mutant(
        "settings that are encrypted keep their provider",
        "edge/run/secrets_provider.py",
        'return "" if already or',
        'return "" if',
        (_PROVIDER,),
    ),
    Mutant(
        "a stack that cannot be opened is broken",
        "edge/hosts/doctor_secrets.py",
        "if not asked.returncode:",
        "if asked.returncode is not None:",
        (_PROVIDER,),
    ),
    Mutant(
        "an empty history makes no secret new",
        "edge/run/secret_age.py",
        'cut = shallow == "true" and not parents',
        "cut = False",
        ("tests/edge/test_secret_age.py",),
    ),
    Mutant(
        "a value is explained with the file that it comes from",
        "edge/run/explain.py",
        "return node.position if node is not None else None",
        "return tree.position",
        (_EXPLAIN,),
    ),
)
