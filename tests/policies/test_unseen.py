"""Ways round the rules through other objects: containers in custom resources, manifests in text, patches, unknowns.

Each is refused by the rule that a Deployment would break, or as `opaque`.
"""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest
import yaml

from policies.rules import UNKNOWN, Resource, evaluate, evaluate_stack
from tests.policies.cases import put

METADATA = {"name": "x", "namespace": "apps"}
DIGEST = f"@sha256:{'0123456789abcdef' * 4}"
IMAGE = f"ghcr.io/fluxcd/tool:v1{DIGEST}"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
GOOD = {
    "name": "main",
    "image": IMAGE,
    "securityContext": RESTRICTED,
    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "32Mi"}},
}
BAD = {**GOOD, "securityContext": {**RESTRICTED, "privileged": True}}
PRIVILEGED = "workload/no-privileged"
OPAQUE = "supply-chain/opaque"


def mandatory(token: str, props: dict[str, Any]) -> set[str]:
    found = evaluate(Resource(f"kubernetes:{token}", "x", "urn:x", props))
    return {finding.rule for finding in found if finding.level == "mandatory"}


def custom(**spec: Any) -> dict[str, Any]:
    return {"metadata": METADATA, "spec": spec}


def pod(container: Any = BAD, **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": METADATA,
        "spec": {"containers": [container], "automountServiceAccountToken": False, **more},
    }


def text(*manifests: Any) -> str:
    return yaml.safe_dump_all(manifests)


def operations(path: str, value: Any) -> str:
    return json.dumps([{"op": "add", "path": path, "value": value}])


WORKFLOW = "argoproj.io/v1alpha1:Workflow"
SET = "fluxcd.controlplane.io/v1:ResourceSet"
KUSTOMIZATION = "kustomize.toolkit.fluxcd.io/v1:Kustomization"
K3S_CHART = "helm.cattle.io/v1:HelmChartConfig"

CONTAINERS: dict[str, Any] = {
    "argo container": (WORKFLOW, lambda c: custom(templates=[{"name": "a", "container": c}])),
    "argo script": (WORKFLOW, lambda c: custom(templates=[{"script": {**c, "source": "print(1)"}}])),
    "argo init container": (WORKFLOW, lambda c: custom(templates=[{"container": GOOD, "initContainers": [c]}])),
    "argo sidecar": (WORKFLOW, lambda c: custom(templates=[{"container": GOOD, "sidecars": [c]}])),
    "argo container set": (WORKFLOW, lambda c: custom(templates=[{"containerSet": {"containers": [c]}}])),
    "argo template defaults": (WORKFLOW, lambda c: custom(templateDefaults={"container": c})),
    "argo beside a list that is empty": (WORKFLOW, lambda c: custom(containers=[], templates=[{"container": c}])),
    "argo cron workflow": (
        "argoproj.io/v1alpha1:CronWorkflow",
        lambda c: custom(workflowSpec={"templates": [{"container": c}]}),
    ),
    "argo manifest in a template": (
        WORKFLOW,
        lambda c: custom(templates=[{"resource": {"action": "create", "manifest": text(pod(c))}}]),
    ),
    "argo event sensor": (
        "argoproj.io/v1alpha1:Sensor",
        lambda c: custom(triggers=[{"template": {"k8s": {"source": {"resource": pod(c)}}}}]),
    ),
    "tekton step": ("tekton.dev/v1:Task", lambda c: custom(steps=[c])),
    "tekton sidecar": ("tekton.dev/v1:Task", lambda c: custom(steps=[GOOD], sidecars=[c])),
    "tekton task in a pipeline": (
        "tekton.dev/v1:Pipeline",
        lambda c: custom(tasks=[{"name": "a", "taskSpec": {"steps": [c]}}]),
    ),
    "opentelemetry collector": ("opentelemetry.io/v1beta1:OpenTelemetryCollector", lambda c: custom(config={}, **c)),
    "opentelemetry init container": (
        "opentelemetry.io/v1beta1:OpenTelemetryCollector",
        lambda c: custom(**GOOD, initContainers=[c]),
    ),
    "a pod spec under another name": ("example.com/v1:Runner", lambda c: custom(podSpec={"containers": [c]})),
    "a pod template deep inside": (
        "example.com/v1:Runner",
        lambda c: custom(pools=[{"podTemplate": {"metadata": {}, "spec": {"containers": [c]}}}]),
    ),
    "a container under a name that nobody knows": ("example.com/v1:Runner", lambda c: custom(deep=[[{"engine": c}]])),
    "a plan of the upgrade controller": ("upgrade.cattle.io/v1:Plan", lambda c: custom(upgrade=c, prepare=GOOD)),
    "resource set": (SET, lambda c: custom(resources=[pod(c)])),
    "resource set text": (SET, lambda c: custom(resourcesTemplate=text(pod(GOOD), pod(c)))),
    "resource set text as JSON": (SET, lambda c: custom(resourcesTemplate=json.dumps(pod(c)))),
    "resource set with a list": (
        SET,
        lambda c: custom(resources=[{"apiVersion": "v1", "kind": "List", "items": [pod(c)]}]),
    ),
    "a config map in a resource set": (
        SET,
        lambda c: custom(
            resources=[{"apiVersion": "v1", "kind": "ConfigMap", "metadata": METADATA, "data": {"a": text(pod(c))}}]
        ),
    ),
    "a config map for sveltos": ("core/v1:ConfigMap", lambda c: {"metadata": METADATA, "data": {"a": text(pod(c))}}),
    "a config map, in base64": (
        "core/v1:ConfigMap",
        lambda c: {"metadata": METADATA, "binaryData": {"a": base64.b64encode(text(pod(c)).encode()).decode()}},
    ),
    "a secret for sveltos": ("core/v1:Secret", lambda c: {"metadata": METADATA, "stringData": {"a": text(pod(c))}}),
    "a secret, in base64": (
        "core/v1:Secret",
        lambda c: {"metadata": METADATA, "data": {"a": base64.b64encode(text(pod(c)).encode()).decode()}},
    ),
    "a list of manifests as text": ("example.com/v1:Addon", lambda c: custom(data=yaml.safe_dump([pod(c)]))),
    "a manifest work of a hub": (
        "work.open-cluster-management.io/v1:ManifestWork",
        lambda c: custom(workload={"manifests": [pod(c)]}),
    ),
    "a manifest of crossplane": (
        "kubernetes.crossplane.io/v1alpha2:Object",
        lambda c: custom(forProvider={"manifest": pod(c)}),
    ),
    "a patch of a kustomization": (
        KUSTOMIZATION,
        lambda c: custom(
            patches=[
                {
                    "patch": text(
                        {
                            "apiVersion": "apps/v1",
                            "kind": "Deployment",
                            "metadata": METADATA,
                            "spec": {
                                "template": {
                                    "spec": {
                                        "securityContext": RESTRICTED
                                        | {
                                            "allowPrivilegeEscalation": None,
                                            "capabilities": None,
                                            "readOnlyRootFilesystem": None,
                                        },
                                        "containers": [c],
                                    }
                                }
                            },
                        }
                    )
                }
            ]
        ),
    ),
    "a patch of operations": (
        KUSTOMIZATION,
        lambda c: custom(
            patches=[
                {
                    "target": {"kind": "Deployment"},
                    "patch": json.dumps([{"op": "add", "path": "/spec/template/spec/containers/-", "value": c}]),
                }
            ]
        ),
    ),
    "a patch without a target": (
        KUSTOMIZATION,
        lambda c: custom(
            patches=[{"patch": json.dumps([{"op": "add", "path": "/spec/template/spec/containers/-", "value": c}])}]
        ),
    ),
    "a pod patch of argo": (
        WORKFLOW,
        lambda c: custom(templates=[{"container": GOOD, "podSpecPatch": json.dumps({"containers": [c]})}]),
    ),
    "more objects in the values of a chart": (
        K3S_CHART,
        lambda c: custom(valuesContent=yaml.safe_dump({"extra": [pod(c)]})),
    ),
    "more containers in the values of a chart": (
        K3S_CHART,
        lambda c: custom(valuesContent=yaml.safe_dump({"server": {"extraContainers": [c]}})),
    ),
    "JSON on one line with the kind first": (
        "core/v1:ConfigMap",
        lambda c: {"metadata": METADATA, "data": {"a": json.dumps(dict(reversed(pod(c).items())))}},
    ),
    "keys in escapes": (
        "core/v1:ConfigMap",
        lambda c: {"metadata": METADATA, "data": {"a": json.dumps(pod(c)).replace('"kind"', '"\\u006bind"')}},
    ),
    "keys with a tag": (
        "core/v1:ConfigMap",
        lambda c: {"metadata": METADATA, "data": {"a": text(pod(c)).replace("kind:", "!!str kind:")}},
    ),
    "keys on lines of their own": (
        "core/v1:ConfigMap",
        lambda c: {"metadata": METADATA, "data": {"a": text(pod(c)).replace("kind: ", "? kind\n: ")}},
    ),
    "manifests in a list of texts": ("example.com/v1:Addon", lambda c: custom(files=[text(pod(GOOD)), text(pod(c))])),
    "an object that kyverno generates": (
        "kyverno.io/v1:ClusterPolicy",
        lambda c: custom(rules=[{"generate": pod(c)}]),
    ),
    "objects that pulumi gives to the cluster": ("yaml/v2:ConfigGroup", lambda c: {"objs": [pod(c)]}),
    "text that pulumi gives to the cluster": ("yaml/v2:ConfigGroup", lambda c: {"yaml": text(pod(c))}),
}


def with_token(value: Any) -> Any:
    """Pods that do not mount a token, so that only their container is at stake."""
    if isinstance(value, dict):
        found = {key: with_token(child) for key, child in value.items()}
        return {**found, "automountServiceAccountToken": False} if "containers" in found else found
    return [with_token(child) for child in value] if isinstance(value, list) else value


@pytest.mark.parametrize("way", CONTAINERS)
def test_a_privileged_container_is_found_wherever_it_stands(way: str) -> None:
    token, props = CONTAINERS[way]
    assert mandatory(token, with_token(props(GOOD))) == set()
    assert mandatory(token, with_token(props(BAD))) == {PRIVILEGED}


@pytest.mark.parametrize("way", CONTAINERS)
def test_an_image_without_digest_is_found_wherever_it_stands(way: str) -> None:
    token, props = CONTAINERS[way]
    assert mandatory(token, with_token(props({**GOOD, "image": "ghcr.io/fluxcd/tool:v1"}))) == {
        "supply-chain/image-digest"
    }


@pytest.mark.parametrize("way", [way for way in CONTAINERS if "values" not in way])
def test_a_container_without_any_security_context_is_judged_as_in_a_deployment(way: str) -> None:
    token, props = CONTAINERS[way]
    bare = {key: value for key, value in GOOD.items() if key != "securityContext"}
    found = mandatory(token, with_token(props(bare)))
    assert {"workload/no-escalation", "workload/drop-capabilities"} <= found


IN_TEXT = ("text", "JSON", "config map", "secret", "patch", "values", "manifest in", "keys")
IN_OBJECTS = [
    way
    for way, (token, _) in CONTAINERS.items()
    if not any(
        word in way for word in ("text", "JSON", "config map", "secret", "patch", "values", "manifest in", "keys")
    )
]


@pytest.mark.parametrize("field", ["image", "securityContext", "securityContext.privileged"])
@pytest.mark.parametrize("way", IN_OBJECTS)
def test_an_unknown_field_of_a_container_fails_as_in_a_deployment(way: str, field: str) -> None:
    token, props = CONTAINERS[way]
    container = copy.deepcopy(GOOD)
    put(container, field, UNKNOWN)
    rule = "supply-chain/image-digest" if field == "image" else PRIVILEGED
    assert rule in mandatory(token, with_token(props(container)))


NO_PLACE = ("argo script", "opentelemetry collector", "a container under a name that", "a plan of")
"""Where nothing says that an unknown value is a container."""


@pytest.mark.parametrize("way", [way for way in IN_OBJECTS if not way.startswith(NO_PLACE)])
def test_a_container_that_is_unknown_as_a_whole_fails_as_in_a_deployment(way: str) -> None:
    token, props = CONTAINERS[way]
    assert PRIVILEGED in mandatory(token, with_token(props(UNKNOWN)))


OTHERS: dict[str, Any] = {
    "the host's network of a workflow": (
        WORKFLOW,
        custom(hostNetwork=True, templates=[]),
        "workload/no-host-namespaces",
    ),
    "the host's network in text": (WORKFLOW, custom(hostNetwork="{{x}}", templates=[]), "workload/no-host-namespaces"),
    "the host's network, unknown": (WORKFLOW, custom(hostNetwork=UNKNOWN), "workload/no-host-namespaces"),
    "a volume of a workflow": (
        WORKFLOW,
        custom(volumes=[{"name": "a", "hostPath": {"path": "/"}}]),
        "workload/volume-types",
    ),
    "volumes that are unknown": (WORKFLOW, custom(volumes=UNKNOWN), "workload/volume-types"),
    "a volume of a collector": (
        "opentelemetry.io/v1beta1:OpenTelemetryCollector",
        custom(volumes=[{"name": "a", "hostPath": {"path": "/"}}]),
        "workload/volume-types",
    ),
    "a path of the host somewhere": (
        "example.com/v1:Database",
        custom(storage={"hostPath": {"path": "/"}}),
        "workload/volume-types",
    ),
    "templates that are unknown": (WORKFLOW, custom(templates=UNKNOWN), PRIVILEGED),
    "a template that is unknown": (WORKFLOW, custom(templates=[UNKNOWN]), PRIVILEGED),
    "a specification that is unknown": (WORKFLOW, {"metadata": METADATA, "spec": UNKNOWN}, OPAQUE),
    "root in a pod template of tekton": (
        "tekton.dev/v1:TaskRun",
        custom(podTemplate={"securityContext": {"runAsUser": 0}}),
        "workload/non-root",
    ),
    "a token for a workflow": (WORKFLOW, custom(automountServiceAccountToken=True), "workload/no-token-automount"),
    "an image that stands alone": (
        "opentelemetry.io/v1beta1:OpenTelemetryCollector",
        custom(image="evil.example.com/x:1"),
        "supply-chain/registry-allowlist",
    ),
    "the disk of a virtual machine": (
        "kubevirt.io/v1:VirtualMachine",
        custom(template={"spec": {"volumes": [{"name": "d", "containerDisk": {"image": "evil.example.com/vm"}}]}}),
        "supply-chain/image-digest",
    ),
    "a disk of the host in a virtual machine": (
        "kubevirt.io/v1:VirtualMachine",
        custom(template={"spec": {"volumes": [{"name": "d", "hostDisk": {"path": "/", "type": "Disk"}}]}}),
        "workload/volume-types",
    ),
    "a task of a stranger": ("tekton.dev/v1:TaskRun", custom(taskRef={"resolver": "git"}), OPAQUE),
    "text that is unknown": (SET, custom(resourcesTemplate=UNKNOWN), OPAQUE),
    "a value of a template": (
        SET,
        custom(
            resourcesTemplate="apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: << inputs.type >>}\n"
        ),
        "network/no-exposed-service",
    ),
    "a value of a template in an object": (
        SET,
        custom(resources=[{"apiVersion": "v1", "kind": "Service", "spec": {"type": "<< inputs.type >>"}}]),
        "network/no-exposed-service",
    ),
    "a template with a loop": (
        SET,
        custom(resourcesTemplate="<<- range $i := inputs.pods >>\napiVersion: v1\nkind: Pod\n<<- end >>\n"),
        OPAQUE,
    ),
    "a template in a comment": (SET, custom(resourcesTemplate=text(pod(GOOD)) + "# << inputs.more >>\n"), OPAQUE),
    "a template in a key": (
        SET,
        custom(resourcesTemplate='apiVersion: v1\nkind: Pod\nspec: {"<< inputs.key >>": true}\n'),
        OPAQUE,
    ),
    "text that is no YAML": (WORKFLOW, custom(templates=[{"resource": {"manifest": "a: [\n"}}]), OPAQUE),
    "text that grows": (
        SET,
        custom(
            resourcesTemplate="a: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"{n}: &{n} [{','.join(['*' + o] * 9)}]\n" for o, n in zip("abcdefg", "bcdefgh", strict=True))
        ),
        OPAQUE,
    ),
    "a template in a config map": (
        "core/v1:ConfigMap",
        {"metadata": METADATA, "data": {"a": "apiVersion: v1\nkind: Pod\n{{ range .x }}\nspec: {}\n{{ end }}\n"}},
        OPAQUE,
    ),
    "values that are no YAML": (K3S_CHART, custom(valuesContent="a: [\n"), OPAQUE),
    "values that are unknown": (K3S_CHART, custom(valuesContent=UNKNOWN), OPAQUE),
    "a privileged setting in values": (
        K3S_CHART,
        custom(valuesContent="agent: {securityContext: {privileged: true}}\n"),
        PRIVILEGED,
    ),
    "the host's network in values": (
        K3S_CHART,
        custom(valuesContent="hostNetwork: true\n"),
        "workload/no-host-namespaces",
    ),
    "a path of the host in values": (
        K3S_CHART,
        custom(valuesContent="extraVolumes: [{name: a, hostPath: {path: /}}]\n"),
        "workload/volume-types",
    ),
    "a patch that moves": (
        KUSTOMIZATION,
        custom(patches=[{"patch": '[{"op": "move", "from": "/metadata/annotations/a", "path": "/spec"}]'}]),
        OPAQUE,
    ),
    "a patch that makes privileged": (
        KUSTOMIZATION,
        custom(
            patches=[
                {
                    "target": {"kind": "DaemonSet"},
                    "patch": operations("/spec/template/spec/containers/0/securityContext/privileged", True),
                }
            ]
        ),
        PRIVILEGED,
    ),
    "a patch of the operator's instance": (
        "fluxcd.controlplane.io/v1:FluxInstance",
        custom(
            distribution={"version": "2.9.4"},
            kustomize={
                "patches": [
                    {
                        "patch": "- op: replace\n  path: /spec/template/spec/hostNetwork\n  value: true\n",
                        "target": {"kind": "Deployment"},
                    }
                ]
            },
        ),
        "workload/no-host-namespaces",
    ),
    "a cluster role in a resource set": (
        SET,
        custom(resources=[{"apiVersion": "v1", "kind": "Service", "metadata": METADATA, "spec": {"type": "NodePort"}}]),
        "network/no-exposed-service",
    ),
    "a password in an object inside": (
        SET,
        custom(resources=[{"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "AKIAIOSFODNN7EXAMPLE"}}]),
        "secrets/no-secret-in-config-map",
    ),
    "a kind that is unknown": (SET, custom(resources=[{"apiVersion": "v1", "kind": UNKNOWN, "spec": {}}]), OPAQUE),
    "a kind that a template decides": (
        SET,
        custom(resources=[{"apiVersion": "v1", "kind": "<< inputs.kind >>", "spec": {"type": "NodePort"}}]),
        OPAQUE,
    ),
    "a kind that a template decides, in text": (
        SET,
        custom(resourcesTemplate="apiVersion: v1\nkind: << inputs.kind >>\nspec: {type: NodePort}\n"),
        OPAQUE,
    ),
    "a kind that is no text": (
        SET,
        custom(resourcesTemplate="apiVersion: v1\nkind: !!binary UG9k\nspec: {}\n"),
        OPAQUE,
    ),
    "a script that applies a manifest": (
        "core/v1:ConfigMap",
        {"metadata": METADATA, "data": {"run": "kubectl apply -f - <<EOF\napiVersion: v1\nkind: Pod\nEOF\n"}},
        OPAQUE,
    ),
    "a strategic patch of a kustomization": (
        KUSTOMIZATION,
        custom(patchesStrategicMerge=[{"apiVersion": "v1", "kind": "Pod", "spec": {"hostPID": True}}]),
        "workload/no-host-namespaces",
    ),
    "a mutation of the cluster": (
        "admissionregistration.k8s.io/v1:MutatingAdmissionPolicy",
        custom(mutations=[{"applyConfiguration": {"expression": "Object{spec: Object.spec{hostPID: true}}"}}]),
        OPAQUE,
    ),
    "a mutation of gatekeeper": ("mutations.gatekeeper.sh/v1:Assign", custom(location="spec.hostPID"), OPAQUE),
    "a chart from plain http": (
        "helm.sh/v3:Release",
        {"chart": "x", "version": "1.0.0", "namespace": "apps", "repositoryOpts": {"repo": "http://charts.test"}},
        "supply-chain/chart-repository",
    ),
    "the host's network in the values of a release": (
        "helm.sh/v3:Release",
        {"chart": "oci://ghcr.io/fluxcd/x", "version": "1.0.0", "values": {"app": {"hostNetwork": True}}},
        "workload/no-host-namespaces",
    ),
    "a chart that nobody has rendered": (
        "helm.sh/v4:Chart",
        {"chart": "oci://ghcr.io/fluxcd/x", "version": "1.0.0"},
        OPAQUE,
    ),
    "a chart whose name is unknown": ("helm.sh/v3:Release", {"chart": UNKNOWN, "version": "1.0.0"}, OPAQUE),
    "values of a chart that are unknown": (
        "helm.sh/v3:Release",
        {"chart": "oci://ghcr.io/fluxcd/flux-operator", "version": "0.59.0", "values": UNKNOWN},
        OPAQUE,
    ),
    "a chart in the object of a release": (
        "helm.cattle.io/v1:HelmChart",
        custom(chartContent="aGVsbG8=", version="1.0.0"),
        OPAQUE,
    ),
    "the address of another chart in a patch": (
        "helm.toolkit.fluxcd.io/v2:HelmReleasePatch",
        custom(
            chart={"spec": {"chart": "x", "version": "1.0.0", "sourceRef": {"kind": "HelmRepository", "name": "y"}}}
        ),
        OPAQUE,
    ),
    "a patch after the rendering": (
        "helm.toolkit.fluxcd.io/v2:HelmRelease",
        custom(
            postRenderers=[{"kustomize": {"patches": [{"patch": operations("/spec/template/spec/hostPID", True)}]}}]
        ),
        "workload/no-host-namespaces",
    ),
    "an application of argo": (
        "argoproj.io/v1alpha1:Application",
        custom(source={"repoURL": "https://x.test"}),
        OPAQUE,
    ),
    "a repository of fleet": ("fleet.cattle.io/v1alpha1:GitRepo", custom(repo="https://x.test"), OPAQUE),
    "charts of sveltos": ("config.projectsveltos.io/v1beta1:ClusterProfile", custom(helmCharts=[{}]), OPAQUE),
    "a remote base": ("kustomize/v2:Directory", {"directory": "https://x.test/base?ref=main"}, OPAQUE),
    "files of pulumi": ("yaml/v2:ConfigFile", {"file": "https://x.test/all.yaml"}, OPAQUE),
    "objects of pulumi that are unknown": ("yaml/v2:ConfigGroup", {"objs": UNKNOWN}, OPAQUE),
    "text of pulumi that is unknown": ("yaml/v2:ConfigGroup", {"yaml": UNKNOWN}, OPAQUE),
    "a workflow in the namespace default": (
        WORKFLOW,
        {"metadata": {"name": "x"}, "spec": {"templates": [{"container": GOOD}]}},
        "workload/not-default-namespace",
    ),
    "a custom resource's patch with a new container": (
        "opentelemetry.io/v1beta1:OpenTelemetryCollectorPatch",
        custom(sidecars=[{"name": "a", "image": IMAGE}]),
        "workload/no-escalation",
    ),
}


@pytest.mark.parametrize("way", OTHERS)
def test_other_ways_round_are_refused(way: str) -> None:
    token, props, rule = OTHERS[way]
    assert rule in mandatory(token, props)


INNOCENT: dict[str, Any] = {
    "a reference to an object": (
        "example.com/v1:Scaler",
        custom(target={"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}),
    ),
    "a definition of a kind": (
        "apiextensions.k8s.io/v1:CustomResourceDefinition",
        custom(
            schema={"properties": {"hostNetwork": {"type": "boolean"}, "containers": {"items": {"type": "object"}}}}
        ),
    ),
    "a configuration file with a kind": (
        "core/v1:ConfigMap",
        {
            "metadata": METADATA,
            "data": {"k": "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"},
        },
    ),
    "prose about manifests": (
        "core/v1:ConfigMap",
        {"metadata": METADATA, "data": {"k": "write apiVersion and kind: [first"}},
    ),
    "values of a chart": (
        K3S_CHART,
        custom(
            valuesContent="image: {repository: a, tag: b}\nports: {http: 80}\nhostNetwork: {on: false}\nenv: {A: b}\n"
        ),
    ),
    "a patch that adds an argument": (
        KUSTOMIZATION,
        custom(
            patches=[
                {
                    "target": {"kind": "Deployment"},
                    "patch": '[{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--x"}]',
                }
            ]
        ),
    ),
    "steps that are no containers": (WORKFLOW, custom(templates=[{"steps": [[{"name": "a", "template": "b"}]]}])),
    "a step with what its task sets for all": (
        "tekton.dev/v1:Task",
        custom(
            stepTemplate={"securityContext": RESTRICTED, "resources": GOOD["resources"]},
            steps=[{"name": "a", "image": IMAGE}],
        ),
    ),
    "a container with the security of its workflow": (
        WORKFLOW,
        custom(
            securityContext={"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            templates=[
                {
                    "container": {
                        **GOOD,
                        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    }
                }
            ],
        ),
    ),
    "a template whose values are names": (
        SET,
        custom(
            resourcesTemplate="apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: << inputs.a >>, namespace: b}\n"
            "automountServiceAccountToken: false\n"
        ),
    ),
}


@pytest.mark.parametrize("name", INNOCENT)
def test_what_is_no_way_round_is_not_refused(name: str) -> None:
    token, props = INNOCENT[name]
    assert mandatory(token, props) == set()


def test_a_finding_in_text_names_the_document_and_the_property() -> None:
    props = custom(resourcesTemplate=text(pod(GOOD), pod(BAD)))
    found = evaluate(Resource(f"kubernetes:{SET}", "x", "urn:x", props))
    assert "spec.resourcesTemplate[1].spec.containers[0].securityContext.privileged" in {one.path for one in found}


def test_a_namespace_in_a_resource_set_needs_its_network_policy() -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "apps"}}
    found = evaluate_stack([Resource(f"kubernetes:{SET}", "x", "urn:x", custom(resourcesTemplate=text(namespace)))])
    assert "network/namespace-default-deny" in {finding.rule for finding in found}
