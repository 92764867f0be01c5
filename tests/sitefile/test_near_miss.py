"""A typing error is answered with the word that was meant; another word is not."""

from __future__ import annotations

import pytest

from components.k3s.spec import K3sSpec
from components.mesh.tailscale.spec import TailscaleSpec
from sitefile.problems import near_miss


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("lables", "labels"),
        ("adress", "address"),
        ("hostkey", "host_key"),
        ("neer", "near"),
        ("tailscael", "tailscale"),
        ("pod_cdir", "pod_cidr"),
        ("Labels", "labels"),
    ],
)
def test_a_slip_is_answered_with_the_word(written: str, meant: str) -> None:
    assert near_miss(written, ["labels", "address", "host_key", "near", "far", "tailscale", "pod_cidr"]) == meant


@pytest.mark.parametrize(
    ("written", "keys"),
    [
        ("node_taints", K3sSpec.model_fields),
        ("flannel_iface", K3sSpec.model_fields),
        ("accept_subnets", TailscaleSpec.model_fields),
        ("token", ["tokens_per_second", "kind", "source"]),
        ("x", ["a", "b"]),
        ("", ["near"]),
    ],
)
def test_another_word_is_not_taken_for_a_slip(written: str, keys: list[str]) -> None:
    assert near_miss(written, keys) is None
