"""Which secrets of a site come from the stack `shared`, without an engine. With one: tests/promises."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pulumi
import pytest

from components.view import SecretNeed
from stacks.shared import program
from stacks.shared.program import secrets_of
from stacks.shared.settings import shared_keys


def test_a_shared_value_is_secret_whatever_the_engine_says_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Pulumi.shared.yaml").write_text("config:\n  edge:token:\n    secure: v1:a:b\n")
    monkeypatch.setattr(program, "_outputs", lambda: {"token": "a value"})

    async def looked() -> tuple[bool, str | None]:
        found = secrets_of(pulumi.Config("edge"), [SecretNeed("token", "a reason")], tmp_path)("token")
        return await found.is_secret(), await found.future()

    assert asyncio.run(looked()) == (True, "a value")


def test_only_encrypted_values_of_the_program_are_shared(tmp_path: Path) -> None:
    assert shared_keys(tmp_path) == frozenset()
    (tmp_path / "Pulumi.shared.yaml").write_text(
        "config:\n  edge:token: {secure: v1:a:b}\n  edge:plain: text\n  aws:secretKey: {secure: v1:c:d}\n"
    )
    assert shared_keys(tmp_path) == {"token"}
