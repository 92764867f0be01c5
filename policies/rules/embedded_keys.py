"""Keys by which a container, a pod or a manifest is known in an object whose schema nobody knows here. Data only."""

from __future__ import annotations

from policies.rules.pods import CONTAINER_LISTS

ONE_CONTAINER = frozenset(("container", "script", "stepTemplate", "mainContainer", "initContainer", "sidecar"))
CONTAINERS = frozenset((*CONTAINER_LISTS, "sidecars", "steps"))
HOLDERS = CONTAINERS | ONE_CONTAINER
"""Keys below which an object with an image is a container, whatever else it has."""

UNSEEN = HOLDERS | frozenset(
    (
        "jobTemplate",
        "pipelineSpec",
        "podSpec",
        "podTemplate",
        "podTemplateSpec",
        "taskSpec",
        "tasks",
        "template",
        "templates",
        "workflowSpec",
        "workflowTemplate",
    )
)
"""Keys that may hold a whole pod. An unknown value there is a hidden container."""

OF_CONTAINERS = frozenset(
    (
        "args",
        "command",
        "env",
        "envFrom",
        "imagePullPolicy",
        "lifecycle",
        "livenessProbe",
        "ports",
        "readinessProbe",
        "resources",
        "script",
        "securityContext",
        "source",
        "startupProbe",
        "volumeDevices",
        "volumeMounts",
        "workingDir",
    )
)
"""With one of these beside its image, an object is a container."""

OF_PODS = ("hostNetwork", "hostPID", "hostIPC", "automountServiceAccountToken")
SECURITY = "securityContext"
POD_SECURITY = "podSecurityContext"
SHARED_SECURITY = (
    (POD_SECURITY,),
    (SECURITY,),
    ("podTemplate", SECURITY),
    ("taskRunTemplate", "podTemplate", SECURITY),
)
"""Where an object, or one around it, sets what holds for all its containers."""

VALUES_KEYS = frozenset(("values", "valuesContent", "valuesObject", "valuesInline", "helmValues"))
"""Keys of a chart's values: they change pods that the chart describes."""

MANIFEST_KEYS = frozenset(("resourcesTemplate", "manifest", "manifests", "rawManifest", "rawManifests"))
"""Keys of text that must be manifests."""

PATCH_KEYS = frozenset(("patch", "patchesJson6902", "patchesStrategicMerge", "podSpecPatch"))
TEXT_KEYS = MANIFEST_KEYS | PATCH_KEYS | frozenset(("valuesContent",))
REFERENCE = frozenset(
    (
        "apiGroup",
        "apiVersion",
        "blockOwnerDeletion",
        "controller",
        "fieldPath",
        "kind",
        "labelSelector",
        "matchLabels",
        "name",
        "namespace",
        "optional",
        "resourceVersion",
        "selector",
        "uid",
    )
)
"""An object that has nothing else only names another one."""

ANY = "kubernetes:any.patch/v1:AnyPatch"
"""The type of what a patch without a target may change."""

TEMPLATED = {"fluxcd.controlplane.io": "<<"}
"""What begins template text in the objects of a group; in all others it is `{{`."""
