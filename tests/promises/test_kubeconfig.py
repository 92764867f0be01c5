"""What is promised of the kubeconfig of each site: its address, its renewal, and who gets to see it."""

from __future__ import annotations

import re

from tests.promises.recordings import SITES, commands, recorded, script


def test_the_kubeconfig_has_the_address_that_the_outputs_tell() -> None:
    told = {recorded(site).outputs.get("kubernetes_endpoint") for site in SITES}
    for command in commands("k3s-kubeconfig"):
        # What the script puts in the place of the host's own address.
        (address,) = re.findall(r'"server: "(\S+) ;;', script(command))
        assert recorded(command.name.removesuffix("-k3s-kubeconfig")).outputs["kubernetes_endpoint"] == address
        assert address in told


def test_a_server_whose_own_certificate_is_in_its_last_quarter_renews_it_before_it_is_read() -> None:
    for command in commands("k3s-kubeconfig"):
        text = script(command)
        due = text.index("if due; then")
        assert due < text.index("systemctl --no-block restart k3s") < text.index("\nfi\n", due), command.name
        assert text.index("\nfi\n", due) < text.index('"server: "'), command.name
        assert '[ "$(((ends - $(date +%s)) * 4))" -lt "$((ends - begins))" ]' in text, command.name
