"""Azure: a connected cluster, and what else a program makes in a subscription.

Judges what a program makes, whoever wrote it. Does not judge what is only named, such as a resource group.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from policies.rules.addresses import world
from policies.rules.frameworks import microsoft
from policies.rules.kinds import Kind
from policies.rules.model import Violation
from policies.rules.rule import Rule, attempt
from policies.rules.subject import Subject
from policies.rules.tree import Node
from policies.rules.user_data import credential_in_user_data

_LEARN = "https://learn.microsoft.com/azure"
_PREVIEW_BY_DEFAULT = frozenset((("kubernetes", "ConnectedCluster"),))
"""Kinds whose version is a preview where the type token names none, in the SDK that the program pins."""

_ANYONE = frozenset(("*", "internet", "any", "0.0.0.0"))
_PRIVILEGED: Mapping[str, str] = {
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
    "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9": "User Access Administrator",
    "f58310d9-a9f6-439a-9e8d-f62e7b41a168": "Role Based Access Control Administrator",
    "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
}
"""Built-in roles that may change everything in a scope, or grant it."""
_WIDE = re.compile(
    r"/?|/subscriptions/[^/]+/?|/providers/Microsoft\.Management/managementGroups/[^/]+/?", re.IGNORECASE
)
"""Scopes above a resource group: everything, a subscription, a management group."""
_GROUP = re.compile(r"/subscriptions/[^/]+/resourceGroups/[^/]+/?", re.IGNORECASE)

_PUBLIC_BY_DEFAULT = frozenset(
    (
        ("storage", "StorageAccount"),
        ("keyvault", "Vault"),
        ("containerregistry", "Registry"),
        ("sql", "Server"),
        ("documentdb", "DatabaseAccount"),
        ("cosmosdb", "DatabaseAccount"),
        ("eventhub", "Namespace"),
        ("servicebus", "Namespace"),
    )
)
"""Kinds that the Internet reaches unless they say otherwise."""

_Service = tuple[str, str]


def _key(kind: Kind) -> _Service:
    """Service and name of a type token, whatever API version is between them."""
    return kind.group.partition("/")[0], kind.name


def _arc_identity(subject: Subject) -> Iterator[Violation]:
    kind = subject.get("identity", "type")
    if kind.text() != "SystemAssigned":
        yield Violation(kind.path, "is not SystemAssigned, so the cluster has no identity of its own")


def _arc_private_link(subject: Subject) -> Iterator[Violation]:
    state, scope = subject.get("privateLinkState"), subject.get("privateLinkScopeResourceId")
    enabled = (state.text() or "").lower() == "enabled"
    if enabled and not scope.text():
        yield Violation(scope.path, "is not set, although the private link is enabled")
    elif not enabled and (scope.present or subject.settings.arc_private_link):
        yield Violation(state.path, "is not Enabled: the cluster talks to Azure over the Internet")


def _arc_entra_id(subject: Subject) -> Iterator[Violation]:
    profile = subject.get("aadProfile")
    if not profile.present:
        if subject.settings.arc_entra_id:
            yield Violation(profile.path, "is not set: nobody in Entra ID administers the cluster")
        return
    if not list(profile.get("adminGroupObjectIDs").each()):
        yield Violation(profile.get("adminGroupObjectIDs").path, "names no group of administrators")
    if not profile.get("tenantID").text():
        yield Violation(profile.get("tenantID").path, "is not set")


def _allowed_locations(subject: Subject) -> Iterator[Violation]:
    allowed = {name.replace(" ", "").lower() for name in subject.settings.azure_locations}
    location = subject.get("location")
    if allowed and location.present and (location.text() or "").replace(" ", "").lower() not in allowed:
        yield Violation(location.path, "is not one of the allowed regions")


def _tags(subject: Subject) -> Iterator[Violation]:
    location, tags = subject.root.value, subject.get("tags")
    # Only what has a location can be tagged; proxy and child resources have neither.
    if not (isinstance(location, dict) and location.get("location") is not None) and not tags.present:
        return
    own = {name for name, _ in tags.entries()}
    for name in subject.settings.required_tags:
        if name not in own:
            yield Violation(tags.get(name).path if tags.present else f"tags.{name}", "is not set")


def _stable_api(subject: Subject) -> Iterator[Violation]:
    version = subject.kind.group.partition("/")[2]
    if "preview" in version.lower() or "beta" in version.lower():
        yield Violation("type", "is of a preview of the API")
    elif not version and _key(subject.kind) in _PREVIEW_BY_DEFAULT:
        yield Violation("type", "names no API version, and the SDK's default is a preview")


def _no_open_ingress(subject: Subject) -> Iterator[Violation]:
    if subject.kind.name == "FirewallRule":
        yield from _address_range(subject)
        return
    for rule in _security_rules(subject):
        yield from attempt(_open(rule, "inbound", "source", "admits"))


def _no_open_egress(subject: Subject) -> Iterator[Violation]:
    rules = _security_rules(subject)
    for rule in rules:
        yield from attempt(_open(rule, "outbound", "destination", "leads to"))
    if rules and subject.kind.name == "NetworkSecurityGroup" and not any(map(_keeps_inside, rules)):
        yield Violation("securityRules", "deny nothing that leaves, and the last rule of Azure itself lets it all out")


def _security_rules(subject: Subject) -> list[Node]:
    """The rules of a security group, or the one rule that it is."""
    group = subject.kind.name == "NetworkSecurityGroup"
    rules = subject.get("securityRules").each() if group else (subject.root,)
    # The ARM API keeps a rule's settings below `properties`, the SDK beside its name.
    return [rule.get("properties") if rule.peek("properties") is not None else rule for rule in rules]


def _open(rule: Node, way: str, end: str, does: str) -> Iterator[Violation]:
    direction = (rule.get("direction").text() or way).lower()
    if direction != way or (rule.get("access").text() or "").lower() == "deny":
        return
    networks: list[Node] = []
    for place in (rule.get(f"{end}AddressPrefix"), *rule.get(f"{end}AddressPrefixes").each()):
        text = (place.text() or "").strip()
        if text.lower() in _ANYONE:
            yield Violation(place.path, f"{does} the whole Internet")
        elif text[:1].isdigit() or ":" in text:
            networks.append(place)
    yield from world(networks, does)


def _keeps_inside(rule: Node) -> bool:
    """Whether a rule denies whatever leaves for the Internet."""
    wanted = (("access", "deny"), ("direction", "outbound"), ("protocol", "*"), ("destinationPortRange", "*"))
    said = {name: str(rule.peek(name)).lower() for name in (*dict(wanted), "destinationAddressPrefix")}
    return said.pop("destinationAddressPrefix") in _ANYONE and said == dict(wanted)


def _address_range(subject: Subject) -> Iterator[Violation]:
    """A database's firewall: 0.0.0.0 to 255.255.255.255 is everyone, and 0.0.0.0 alone is all of Azure."""
    start, end = subject.get("startIpAddress"), subject.get("endIpAddress")
    first, last = start.text() or "", (end.text() or "")
    if first.startswith("0.") or last.startswith("255."):
        yield Violation(start.path, "admits the whole Internet, or all customers of Azure")


def _no_public_access(subject: Subject) -> Iterator[Violation]:
    key = _key(subject.kind)
    if key == ("network", "PublicIPAddress"):
        yield Violation("publicIPAllocationMethod", "makes an address of the Internet")
        return
    holder = subject.get("properties") if subject.get("properties").present else subject.root
    access, acls = holder.get("publicNetworkAccess"), holder.get("networkAcls")
    rules = holder.get("networkRuleSet")
    closed = (access.text() or "").lower() in ("disabled", "securedbyperimeter")
    by_rule = any((one.get("defaultAction").text() or "").lower() == "deny" for one in (acls, rules))
    if not closed and not by_rule:
        yield Violation(access.path, "is not Disabled, and no network rule denies by default")
    if key == ("storage", "StorageAccount"):
        yield from attempt(_storage(subject))


def _storage(subject: Subject) -> Iterator[Violation]:
    public = subject.get("allowBlobPublicAccess")
    if public.flag() is not False:
        yield Violation(public.path, "is not false: a container of blobs can be made public")
    https = subject.get("enableHttpsTrafficOnly")
    if https.flag() is False:
        yield Violation(https.path, "is false: the account speaks plain HTTP")
    version = subject.get("minimumTlsVersion")
    if version.text() not in ("TLS1_2", "TLS1_3"):
        yield Violation(version.path, "is not TLS1_2 or newer")


def _least_privilege(subject: Subject) -> Iterator[Violation]:
    if subject.kind.name == "RoleDefinition":
        for permission in subject.get("permissions").each():
            for action in permission.get("actions").each():
                yield from attempt(_wide_action(action))
        return
    definition, scope = subject.get("roleDefinitionId"), subject.get("scope")
    role = _PRIVILEGED.get((definition.text() or "").rpartition("/")[2].lower())
    if role is None:
        return
    where = scope.text() or ""
    if _WIDE.fullmatch(where) is not None or (role != "Contributor" and _GROUP.fullmatch(where) is not None):
        yield Violation(definition.path, f"is {role}, for more than one resource")


def _wide_action(action: Node) -> Iterator[Violation]:
    text = (action.text() or "").lower()
    grants = text.startswith("microsoft.authorization/") and not text.endswith("/read")
    if text == "*" or (text.startswith("*/") and not text.endswith("/read")) or grants:
        yield Violation(action.path, "is a wildcard over everything, or lets its holder grant rights")


def _no_secret_in_custom_data(subject: Subject) -> Iterator[Violation]:
    profile = subject.get("osProfile")
    if subject.kind.name == "VirtualMachineScaleSet":
        profile = subject.get("virtualMachineProfile", "osProfile")
    for place in (profile.get("customData"), subject.get("userData")):
        yield from attempt(_user_data(place))
    password = profile.get("linuxConfiguration", "disablePasswordAuthentication")
    if profile.get("linuxConfiguration").present and password.flag() is not True:
        yield Violation(password.path, "is not true: a password opens the machine")


def _user_data(place: Node) -> Iterator[Violation]:
    what = credential_in_user_data(place.text() or "", may_hold_host_key=False)
    if what is not None:
        yield Violation(place.path, f"holds {what}")


def _judged_provider(_: Subject) -> Iterator[Violation]:
    yield Violation("type", "is of a provider whose properties no rule knows, so nobody has judged it")


def _native(kind: Kind) -> bool:
    return kind.provider == "azure-native"


def _is_arc(kind: Kind) -> bool:
    return _native(kind) and _key(kind) == ("kubernetes", "ConnectedCluster")


def _filters_traffic(kind: Kind) -> bool:
    return _native(kind) and kind.name in (
        "NetworkSecurityGroup",
        "SecurityRule",
        "DefaultSecurityRule",
        "FirewallRule",
    )


def _filters_what_leaves(kind: Kind) -> bool:
    return _native(kind) and kind.name in ("NetworkSecurityGroup", "SecurityRule", "DefaultSecurityRule")


def _may_be_public(kind: Kind) -> bool:
    return _native(kind) and (_key(kind) in _PUBLIC_BY_DEFAULT or _key(kind) == ("network", "PublicIPAddress"))


def _grants(kind: Kind) -> bool:
    return _native(kind) and _key(kind) in (("authorization", "RoleAssignment"), ("authorization", "RoleDefinition"))


def _is_machine(kind: Kind) -> bool:
    return _native(kind) and _key(kind) in (("compute", "VirtualMachine"), ("compute", "VirtualMachineScaleSet"))


def _is_foreign(kind: Kind) -> bool:
    return kind.provider in ("azure", "azapi")


RULES = (
    Rule(
        id="azure/arc-identity",
        level="mandatory",
        severity="high",
        title="A connected cluster has an identity that Azure manages.",
        why="Any other one is a password that somebody has to keep and renew.",
        remedy="Set `identity.type: SystemAssigned`, as `registrations: [{kind: arc}]` of a site file does.",
        url=f"{_LEARN}/azure-arc/kubernetes/overview",
        applies=_is_arc,
        check=_arc_identity,
        about="ConnectedCluster",
        references=microsoft("IM-3"),
    ),
    Rule(
        id="azure/arc-private-link",
        level="mandatory",
        severity="medium",
        title="A connected cluster uses a private link wherever one is set up or asked for.",
        why="Half of a private link is none: the agents then go over the Internet. Azure offers neither cluster "
        "connect nor custom locations behind one, so only `arc_private_link` in the pack's configuration asks it of "
        "all.",
        remedy="Set `private_link_scope_id` of the site's registration.",
        url=f"{_LEARN}/azure-arc/kubernetes/private-link",
        applies=_is_arc,
        check=_arc_private_link,
        about="ConnectedCluster",
        references=microsoft("NS-2"),
    ),
    Rule(
        id="azure/arc-entra-id",
        level="mandatory",
        severity="medium",
        title="A connected cluster that is administered through Entra ID names its administrators.",
        why="Without a group, nobody is one. `arc_entra_id` in the pack's configuration asks every cluster for them.",
        remedy="Set `admin_groups` of the site's registration.",
        url=f"{_LEARN}/azure-arc/kubernetes/azure-rbac",
        applies=_is_arc,
        check=_arc_entra_id,
        about="ConnectedCluster",
        references=microsoft("IM-1"),
    ),
    Rule(
        id="azure/allowed-locations",
        level="mandatory",
        severity="medium",
        title="Everything is in a region that the company allows.",
        why="Data may have to stay in a country.",
        remedy="Set `location` of the site's registration to an allowed region, or add the region to `azure_locations` "
        "in the pack's configuration. Without that setting, every region is allowed.",
        url=f"{_LEARN}/governance/policy/overview",
        applies=_native,
        check=_allowed_locations,
        about="every Azure resource",
        references=microsoft("AM-2"),
    ),
    Rule(
        id="azure/tags",
        level="mandatory",
        severity="low",
        title="Every resource says which site it belongs to.",
        why="Nobody dares to delete, or knows whom to bill for, a resource without an owner.",
        remedy="Set the tag. `required_tags` in the pack's configuration says which tags are asked for.",
        url=f"{_LEARN}/azure-resource-manager/management/tag-resources",
        applies=_native,
        check=_tags,
        about="Azure resources with a location",
        references=microsoft("AM-1"),
    ),
    Rule(
        id="azure/stable-api",
        level="mandatory",
        severity="low",
        title="Every resource is made with a stable version of Azure's API.",
        why="A preview changes or ends at any time, with no promise that what it made can still be changed.",
        remedy="Use a type of a stable version, such as `azure-native:kubernetes/v20240101:ConnectedCluster`.",
        url="https://www.pulumi.com/registry/packages/azure-native/version-guide/",
        applies=_native,
        check=_stable_api,
        about="every Azure resource",
    ),
    Rule(
        id="azure/no-open-ingress",
        level="mandatory",
        severity="critical",
        title="No firewall rule admits the Internet.",
        why="Scanners find an open port within minutes, and nobody is at the site.",
        remedy="Name the networks of your sites and offices.",
        url=f"{_LEARN}/virtual-network/network-security-groups-overview",
        applies=_filters_traffic,
        check=_no_open_ingress,
        about="NetworkSecurityGroup, SecurityRule, FirewallRule",
        references=microsoft("NS-1"),
    ),
    Rule(
        id="azure/no-open-egress",
        level="advisory",
        severity="medium",
        title="No security group lets a machine reach the whole Internet.",
        why="A program that was broken into fetches its tools and sends away what it has found, to wherever it likes. "
        "Azure lets out whatever no rule denies.",
        remedy="Name the networks or service tags that the machines need, and let the last outbound rule deny all "
        "protocols and ports to `Internet`. A group whose rules are all SecurityRule resources is not asked for it.",
        url=f"{_LEARN}/virtual-network/network-security-groups-overview",
        applies=_filters_what_leaves,
        check=_no_open_egress,
        about="NetworkSecurityGroup, SecurityRule",
        references=microsoft("NS-1"),
    ),
    Rule(
        id="azure/no-public-access",
        level="mandatory",
        severity="high",
        title="Storage, vaults, registries and databases are closed to the Internet; nothing has a public address.",
        why="A leaked key is of no use to somebody who cannot reach the service.",
        remedy="Set `publicNetworkAccess: Disabled` and use a private endpoint; for storage also "
        "`allowBlobPublicAccess: false` and `minimumTlsVersion: TLS1_2`.",
        url=f"{_LEARN}/private-link/private-endpoint-overview",
        applies=_may_be_public,
        check=_no_public_access,
        about="StorageAccount, Vault, Registry, databases, namespaces, PublicIPAddress",
        references=microsoft("NS-2", "DP-3"),
    ),
    Rule(
        id="azure/least-privilege",
        level="mandatory",
        severity="critical",
        title="Nobody gets Owner, or a role like it, for a whole subscription.",
        why="A stolen site brings its identity with it: what that may do, the thief may do.",
        remedy="Assign the narrowest built-in role, at the scope of one resource group or one resource.",
        url=f"{_LEARN}/role-based-access-control/best-practices",
        applies=_grants,
        check=_least_privilege,
        about="RoleAssignment, RoleDefinition",
        references=microsoft("PA-1", "PA-7"),
    ),
    Rule(
        id="azure/no-secret-in-custom-data",
        level="mandatory",
        severity="critical",
        title="No first-boot data of a machine holds a key, token or password.",
        why="It is on the machine's disk, and can be read by every program of it.",
        remedy="Use the machine's identity and a key vault; let people in by SSH key only.",
        url=f"{_LEARN}/virtual-machines/custom-data",
        applies=_is_machine,
        check=_no_secret_in_custom_data,
        about="VirtualMachine, VirtualMachineScaleSet",
        references=microsoft("IM-8"),
    ),
    Rule(
        id="azure/judged-provider",
        level="mandatory",
        severity="medium",
        title="Azure resources are made with the provider that the rules know.",
        why="The same resource of another provider has other properties, and would pass all rules above unseen.",
        remedy="Use `pulumi_azure_native`, or judge the resource in `policies/own_rules.py` and add a waiver.",
        url="https://www.pulumi.com/registry/packages/azure-native/",
        applies=_is_foreign,
        check=_judged_provider,
        about="azure (classic), azapi",
        references=microsoft("PV-2"),
    ),
)
