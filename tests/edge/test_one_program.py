"""`edge` runs the project's own `__main__.py`: what a company adds there works however the program is run."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import Any

import pytest

from edge.run.check import check_file
from edge.run.program import recorded, rehearsed
from engine.rehearsal.values import Secret, reveal
from stacks.edge_site import EdgeSite
from stacks.loader import load_site
from tests.edge.conftest import Project

# Transforms, the engine's and the SDK's older ones, come before the call that builds the stack; resources may follow.
_TRANSFORM = """
import pulumi

def protect_hosts(args):
    if args.type_ == "edge:index:Host":
        return pulumi.ResourceTransformResult(
            args.props, pulumi.ResourceOptions.merge(args.opts, pulumi.ResourceOptions(protect=True))
        )

pulumi.runtime.register_resource_transform(protect_hosts)
"""
_LABEL = """
import pulumi

def label(args):
    if args.type_.startswith("kubernetes:") and "metadata" in args.props:
        metadata = dict(args.props["metadata"])
        metadata["labels"] = {**(metadata.get("labels") or {}), "example.com/owner": "acme"}
        return pulumi.ResourceTransformationResult({**args.props, "metadata": metadata}, args.opts)

pulumi.runtime.register_stack_transformation(label)
"""
_RESOURCE = """
import pulumi, pulumi_tls

pulumi.export("owner", pulumi_tls.PrivateKey("company-key", algorithm="ED25519").algorithm)
print("a company's own words")
"""


@pytest.fixture
def company(project: Project) -> Project:
    """A project whose `__main__.py` is the program's own with a company's additions."""
    program = project.root / "__main__.py"
    own, call = program.read_text().rsplit("build(", 1)
    program.write_text(f"{own}\n{_TRANSFORM}\n{_LABEL}\nbuild({call}\n{_RESOURCE}")
    return project


def state(project: Project) -> dict[str, Any]:
    """Resources of the rehearsed state, by name and type."""
    resources = json.loads(project.state.read_text())["checkpoint"]["latest"]["resources"]
    return {f"{one['type']} {one['urn'].rpartition('::')[2]}": one for one in resources}


def assert_has_additions(resources: dict[str, Any], outputs: dict[str, Any]) -> None:
    assert resources["edge:index:Host demo-a"]["protect"] is True
    labels = resources["kubernetes:core/v1:Namespace demo-telemetry-namespace"]["inputs"]["metadata"]["labels"]
    assert labels["example.com/owner"] == "acme"
    assert "tls:index/privateKey:PrivateKey company-key" in resources
    assert outputs["owner"] == "ED25519"
    assert outputs["site"] == "demo", "the site's own outputs stay"


def test_a_companys_additions_are_checked(company: Project) -> None:
    spec = load_site("demo", root=company.root)
    file = company.sites / "demo.yaml"
    recording = recorded(spec, rehearsed(spec, {}, file, company.root), company.root)
    resources = {
        f"{one.type} {one.name}": {"protect": one.protect, "inputs": one.inputs} for one in recording.resources
    }
    assert_has_additions(resources, recording.outputs)


def test_a_resource_that_a_company_adds_is_counted_and_judged_by_check(project: Project) -> None:
    plain = project.edge("check", project.sites / "demo.yaml", "--json").document
    with (project.root / "__main__.py").open("a") as program:
        program.write("import pulumi_tls\npulumi_tls.PrivateKey('company-key', algorithm='ED25519')\n")
    ran = project.edge("check", project.sites / "demo.yaml", "--json")
    assert ran.document["counts"]["resources"] == plain["counts"]["resources"] + 1


def test_what_the_program_prints_does_not_spoil_the_document_of_check(company: Project) -> None:
    ran = company.edge("check", company.sites / "demo.yaml", "--json")
    assert ran.document["sites"][0]["site"] == "demo"
    assert "a company's own words" in ran.stderr


@pytest.mark.engine
def test_a_companys_additions_are_in_a_rehearsed_preview_and_up_and_plain_pulumi_agrees(company: Project) -> None:
    previewed = company.edge("preview", "demo", "--rehearse", "--json").document
    assert previewed["exit"] == 0, previewed
    assert "company-key" in {one["name"] for one in previewed["resources"]}

    ran = company.edge("up", "demo", "--rehearse", "--json")
    assert ran.code == 0, ran.stdout + ran.stderr
    assert_has_additions(state(company), ran.document["outputs"])

    company.pulumi("preview", "--expect-no-changes")


@pytest.mark.engine
def test_a_companys_additions_are_in_plain_pulumi_up_and_edge_agrees(company: Project) -> None:
    assert company.edge("preview", "demo", "--rehearse").code == 0, "creates the stack"
    company.pulumi("up", "--yes", "--skip-preview")
    outputs = company.edge("outputs", "demo", "--rehearse", "--json").document["outputs"]
    assert_has_additions(state(company), outputs)
    again = company.edge("preview", "demo", "--rehearse", "--json").document
    assert {one["op"] for one in again["resources"]} == {"same"}


def test_placeholders_are_secrets_and_stay_secret(project: Project) -> None:
    spec = load_site("demo", root=project.root)
    recording = recorded(spec, rehearsed(spec, {}, project.sites / "demo.yaml", project.root), project.root)
    held = [one.urn for one in recording.resources if "placeholder" in str(reveal(one.inputs))]
    assert held, "some resource takes a secret"
    unmarked = [one.urn for one in recording.resources if "placeholder" in str(without_secrets(one.inputs))]
    assert not unmarked


def without_secrets(value: Any) -> Any:
    """The plain parts of a tree of properties."""
    if isinstance(value, Secret):
        return None
    if isinstance(value, dict):
        return {key: without_secrets(item) for key, item in value.items()}
    return [without_secrets(item) for item in value] if isinstance(value, list) else value


def test_what_one_run_observes_no_other_run_sees(project: Project) -> None:
    spec = load_site("demo", root=project.root)
    configuration = rehearsed(spec, {}, project.sites / "demo.yaml", project.root)
    first: list[EdgeSite] = []
    second: list[EdgeSite] = []
    recorded(spec, configuration, project.root, built=first.append)
    recorded(spec, configuration, project.root, built=second.append)
    assert len(first) == len(second) == 1
    assert first[0] is not second[0]


def test_a_checked_site_leaves_no_task_behind(project: Project) -> None:
    # What survives one site is gone over again at every later site of the same process: 500 sites took a tenth longer.
    gc.collect()
    before = set(map(id, tasks()))
    check_file(project.sites / "demo.yaml", project.root)
    assert [one for one in tasks() if id(one) not in before] == []


def tasks() -> list[asyncio.Task[object]]:
    return [one for one in gc.get_objects() if isinstance(one, asyncio.Task)]


def test_a_site_given_by_path_is_named_in_the_configuration(project: Project) -> None:
    spec = load_site("demo", root=project.root)
    elsewhere = project.root / "elsewhere.yaml"
    assert "edge:site" not in rehearsed(spec, {}, project.sites / "demo.yaml", project.root).values
    assert rehearsed(spec, {}, elsewhere, project.root).values["edge:site"] == str(elsewhere)
    assert rehearsed(spec, {"edge:x": "1"}, elsewhere, project.root).values["edge:x"] == "1"
