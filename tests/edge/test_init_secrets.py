"""What `edge init` writes about the secrets of stacks."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from edge.run.failure import OperationError
from edge.run.new_repository import Repository, files_of
from edge.run.secrets_provider import chosen

URL = "awskms://alias/edge?region=eu-west-1"


@pytest.mark.parametrize("provider", ["passphrase", "default", URL, "azurekeyvault://acme.vault.azure.net/keys/edge"])
def test_the_provider_is_written_where_it_is_looked_for(tmp_path: Path, provider: str) -> None:
    files = files_of(Repository("acme", "1.0.0", secrets_provider=provider))
    (tmp_path / "Pulumi.yaml").write_text(files["Pulumi.yaml"])
    assert chosen(tmp_path) == provider
    assert set(yaml.safe_load(files["Pulumi.yaml"])) == {"name", "description", "runtime", "secretsprovider"}


@pytest.mark.parametrize(
    ("provider", "first"),
    [
        ("passphrase", "export PULUMI_CONFIG_PASSPHRASE_FILE=FILE"),
        (URL, "aws sso login"),
        ("azurekeyvault://acme.vault.azure.net/keys/edge", "az login"),
        ("default", "pulumi login"),
    ],
)
def test_its_readme_says_what_to_set_before_anything_needs_it(provider: str, first: str) -> None:
    readme = files_of(Repository("acme", "1.0.0", secrets_provider=provider))["README.md"]
    assert readme.index(f"    {first}") < readme.index("edge secrets SITE --generate") < readme.index("edge up SITE")


def test_what_pulumi_has_not_is_refused() -> None:
    with pytest.raises(OperationError, match="no secrets provider `age`"):
        Repository("acme", "1.0.0", secrets_provider="age")
