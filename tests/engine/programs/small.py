"""A program that meets every provider of a rehearsal once: what tests run with and without the engine.

Configuration changes one thing at a time: `kubeconfig`, `image`, `setting`, `trigger`, `mutable`, `typo`, `outpost`.
"""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_azure_native as azure
import pulumi_command as command
import pulumi_kubernetes as kubernetes
import pulumi_tailscale as tailscale
import pulumi_tls as tls

OUTPOST = "arn:aws:outposts:eu-west-2:123456789012:outpost/op-0123456789abcdef0"
LABELS = {"app": "web"}


class Part(pulumi.ComponentResource):
    def __init__(self, kind: str, name: str, facts: dict[str, object], parent: pulumi.Resource | None = None) -> None:
        super().__init__(f"small:index:{kind}", name, facts, pulumi.ResourceOptions(parent=parent))


def program() -> None:
    config = pulumi.Config("small")
    token = config.require_secret("token")
    site = Part("Site", "site", {"tier": "near", "cores": 8, "share": 0.5})
    host = Part("Host", "host", {"memory_gib": 64}, site)
    under = pulumi.ResourceOptions(parent=host)
    connection = command.remote.ConnectionArgs(host="192.0.2.1", user="core", port=22, private_key=token)
    base = command.remote.Command(
        "base", connection=connection, create="true", triggers=[config.get("trigger") or "one"], opts=under
    )
    install = command.remote.Command(
        "install",
        connection=connection,
        create="install",
        stdin=token.apply(lambda value: f"token={value}"),
        opts=pulumi.ResourceOptions(parent=host, depends_on=[base], additional_secret_outputs=["stdout"]),
    )
    host.register_outputs({"ready": True})
    _cluster(config, site, install, token)
    _clouds(config, site)
    pulumi.export("said", install.stdout)
    pulumi.export("cores", 8)


def _cluster(config: pulumi.Config, site: Part, install: command.remote.Command, token: pulumi.Output[str]) -> None:
    provider = kubernetes.Provider(
        "cluster",
        kubeconfig=pulumi.Output.secret(config.get("kubeconfig") or "one"),
        cluster_identifier="site",
        enable_secret_mutable=config.get_bool("mutable"),
        opts=pulumi.ResourceOptions(parent=site, depends_on=[install]),
    )
    opts = pulumi.ResourceOptions(parent=site, provider=provider)
    namespace = kubernetes.core.v1.Namespace("apps", metadata={"name": "apps"}, opts=opts)
    name = namespace.metadata.apply(lambda metadata: metadata.name)
    setting = config.get("setting") or "one"
    kubernetes.core.v1.Secret(
        "secret",
        metadata={"name": "token", "namespace": name},
        string_data={"token": token, "setting": setting},
        opts=opts,
    )
    kubernetes.core.v1.ConfigMap(
        "settings", metadata={"name": "settings", "namespace": name}, data={"setting": setting}, opts=opts
    )
    container: Any = {"name": "web", "image": config.get("image") or "web:1", "ports": [{"containerPort": 8000}]}
    if config.get_bool("typo"):
        container["imagePullPolitics"] = "Always"
    spec: Any = {
        "replicas": 2,
        "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [container]}},
    }
    kubernetes.apps.v1.Deployment("web", metadata={"name": "web", "namespace": name}, spec=spec, opts=opts)
    kubernetes.apiextensions.CustomResource(
        "configs",
        api_version="source.toolkit.fluxcd.io/v1",
        kind="GitRepository",
        metadata={"name": "edge-configs", "namespace": "flux-system"},
        spec={"interval": "5m", "url": "https://git.example.com/edge.git", "ref": {"branch": "main"}},
        opts=opts,
    )
    kubernetes.helm.v3.Release(
        "agents", name="agents", chart="agents", namespace="apps", version="1.0.0", values={"token": token}, opts=opts
    )


def _clouds(config: pulumi.Config, site: Part) -> None:
    key = tls.PrivateKey("key", algorithm="RSA", rsa_bits=4096, opts=pulumi.ResourceOptions(parent=site))
    group = azure.resources.ResourceGroup("group", location="westeurope", opts=pulumi.ResourceOptions(parent=site))
    azure.kubernetes.ConnectedCluster(
        "arc",
        resource_group_name=group.name,
        cluster_name="berlin",
        agent_public_key_certificate=key.public_key_pem.apply(lambda pem: pem.splitlines()[1]),
        identity={"type": azure.kubernetes.ResourceIdentityType.SYSTEM_ASSIGNED},
        opts=pulumi.ResourceOptions(parent=site),
    )
    london = aws.Provider("london", region="eu-west-2", opts=pulumi.ResourceOptions(parent=site))
    outpost = aws.outposts.get_outpost_output(
        arn=config.get("outpost") or OUTPOST, opts=pulumi.InvokeOutputOptions(parent=site, provider=london)
    )
    aws.ec2.Subnet(
        "subnet",
        vpc_id="vpc-0123",
        cidr_block="10.0.0.0/24",
        availability_zone=outpost.availability_zone,
        outpost_arn=outpost.arn,
        opts=pulumi.ResourceOptions(parent=site, provider=london),
    )
    tailscale.TailnetKey("join", preauthorized=True, expiry=3600, opts=pulumi.ResourceOptions(parent=site))
