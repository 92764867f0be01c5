"""The mutants: what each would break, where it is put, and the tests that must catch it.

A text is short and found in one file, so that a rewrite around it leaves it alone; every occurrence is replaced. Where
a file or a text moves, move it here too: `tests/mutants/test_catalogue.py` says which are stale.
"""

from __future__ import annotations

from tests.mutants.company import COMPANY
from tests.mutants.consequences import CONSEQUENCES
from tests.mutants.kubeconfig import KUBECONFIG
from tests.mutants.layers import LAYERS
from tests.mutants.many import MANY
from tests.mutants.mutant import Mutant
from tests.mutants.onboarding import ONBOARDING
from tests.mutants.package import PACKAGE
from tests.mutants.pictures import PICTURES
from tests.mutants.policies import POLICIES
from tests.mutants.preview import PREVIEW

_PROMISES = "tests/promises"
_SSH = f"{_PROMISES}/test_ssh.py"
_K3S = f"{_PROMISES}/test_k3s.py"
_TEST_HOST_CHECKS = "tests/components/k3s/test_host_checks.py"
_TEST_UNINSTALL = "tests/components/k3s/test_scripts.py"
_WHY_STOPPED = "tests/components/k3s/test_why_stopped.py"
_SECRETS = f"{_PROMISES}/test_secrets_in_resources.py"
_CLUSTER = f"{_PROMISES}/test_in_the_cluster.py"
_NETWORK = f"{_PROMISES}/test_network.py"
_CLOUDS = f"{_PROMISES}/test_clouds.py"
_DOWNLOADS = f"{_PROMISES}/test_downloads.py"
_STREAMS = f"{_PROMISES}/test_standard_streams.py"
_ROLLOUT = f"{_PROMISES}/test_rollout.py"

_LOADER = "tests/stacks/test_loader.py"
_SHARED = "tests/stacks/test_shared_files.py"
_KEYS = "tests/components/test_ssh_keys.py"

_SSH_KEYS = "components/ssh_keys.py"
_VALIDATION = "sitefile/validation.py"
_TELEMETRY_PART = "components/telemetry/part.py"
_HOST_HEALTH = "components/telemetry/host_health.sh.j2"
_TEST_HOST_HEALTH = "tests/components/telemetry/test_telemetry_host_health.py"
_MESH_PART = "components/mesh/tailscale/part.py"
_HOST = "components/host/component.py"
_REACH = "components/host/reach.py"
_K3S_COMPONENT = "components/k3s/component.py"
_K3S_PLAN = "components/k3s/plan.py"
_HOST_CHECKS = "components/k3s/host_checks.sh.j2"
_UNINSTALL_K3S = "components/k3s/uninstall.sh.j2"
_HARDENING = "components/k3s/hardening.py"
_OBJECTS = "components/objects.py"
_RESTRICTED = "components/restricted.py"
_FLUX = "components/gitops/flux/component.py"
_FLUX_PLAN = "components/gitops/flux/plan.py"
_TRITON = "components/inference/triton/component.py"
_TRITON_PLAN = "components/inference/triton/plan.py"
_TELEMETRY = "components/telemetry/component.py"
_TELEMETRY_PLAN = "components/telemetry/plan.py"
_TAILSCALE = "components/mesh/tailscale/component.py"
_ARC = "components/registration/arc/component.py"
_OUTPOSTS = "components/place/outposts/component.py"
_OUTPOSTS_PLAN = "components/place/outposts/plan.py"
_EKS = "components/place/outposts/eks.py"
_PRELUDE = "components/prelude.sh.j2"


MUTANTS: tuple[Mutant, ...] = (
    *POLICIES,
    *KUBECONFIG,
    *LAYERS,
    *MANY,
    # Text from a site file is never code.
    Mutant(
        "a value within double quotes cannot end them",
        "components/shell.py",
        "Context.DOUBLE_QUOTES: _double_quoted,",
        "Context.DOUBLE_QUOTES: _comment,",
        ("tests/components/test_quoting.py",),
    ),
    Mutant(
        "a value in a comment stays in its line",
        "components/shell.py",
        "Context.COMMENT: _comment,",
        "Context.COMMENT: _double_quoted,",
        ("tests/components/test_quoting.py",),
    ),
    Mutant("a download has a bound in size", _PRELUDE, "    ulimit -f 4194304\n", "", (_DOWNLOADS,)),
    # What Pulumi's command plugin can bear.
    Mutant(
        "a script reads all of its standard input", _PRELUDE, "mapfile -t given", "mapfile -n 1 -t given", (_STREAMS,)
    ),
    Mutant("a message has a bound", _PRELUDE, "error: %.32768s", "error: %s", (_STREAMS,)),
    # What a site file may say.
    Mutant(
        "a hashed name of known_hosts is compared", _SSH_KEYS, "hmac.compare_digest(made,", "bool(made) or (", (_KEYS,)
    ),
    Mutant("a key is of the type that it says", _SSH_KEYS, "if own != kind:", "if False:", (_LOADER,)),
    Mutant("the checksum of a PGP key is compared", "components/openpgp.py", "_crc24(data) !=", "0 >", (_LOADER,)),
    Mutant("a gateway gets no user name of another", _TELEMETRY_PART, '"instance_id": "gateway", ', "", (_LOADER,)),
    Mutant(
        "a queue file that was cut short is moved aside",
        "components/telemetry/check_queue.sh",
        "page_size=$(($2 & 0xFFFFFFFF))\n    end=$(($6 * page_size))",
        "page_size=$(($2 & 0xFFFFFFFF))\n    end=0",
        ("tests/components/telemetry/test_telemetry_tools.py",),
    ),
    Mutant(
        "an attribute of an SSD counts where smartctl knows what it means",
        _HOST_HEALTH,
        'if ((id " " name) in meant',
        "if (id ~ /^(177|202|231|233)$/",
        (_TEST_HOST_HEALTH,),
    ),
    Mutant(
        "what a host has measured long ago is not sent as of now",
        "components/telemetry/host_health_read.sh",
        "-mmin -5",
        "-mmin -5000",
        (_TEST_HOST_HEALTH,),
    ),
    Mutant(
        "a link is not up because it was switched on",
        _HOST_HEALTH,
        'number "$card/carrier" && up=$value || up=0',
        "up=1",
        (_TEST_HOST_HEALTH,),
    ),
    Mutant(
        "servers that share a GPU fit into its memory together",
        "components/inference/placement.py",
        "(taken.accelerator_memory_mib, taken.tops_int8) if shared else (0.0, 0.0)",
        "(0.0, 0.0)",
        ("tests/components/inference/test_placement.py",),
    ),
    Mutant(
        "a Jetson with another JetPack than its image is refused",
        "components/inference/accelerator_checks.sh.j2",
        'elif [ "$jetpack" != {{ jetpack }} ]; then',
        "elif false; then",
        ("tests/components/inference/test_accelerator_checks.py",),
    ),
    Mutant(
        "secrets in lines of pods are masked before they are queued",
        "components/telemetry/collector.py",
        '["memory_limiter", *names, "redaction", "resource"]',
        '["memory_limiter", *names, "resource"]',
        ("tests/components/telemetry/test_telemetry_pod_logs.py",),
    ),
    Mutant(
        "secrets in events are masked before they are queued",
        "components/telemetry/collector.py",
        '["memory_limiter", "redaction/events", "resource/events"]',
        '["memory_limiter", "resource/events"]',
        ("tests/components/telemetry/test_telemetry_events.py",),
    ),
    Mutant(
        "a folder of a host is a volume only where nobody can write to it",
        "policies/rules/cluster.py",
        'volume.peek("mountOptions") == ["ro"]',
        "True",
        ("tests/policies/test_bypasses_access.py",),
    ),
    Mutant(
        "a gateway's window is said where it is shorter than the queue",
        "components/telemetry/spec.py",
        "max(0, self.offline_hours - self.window_hours)",
        "0",
        (_LOADER, "tests/components/telemetry/test_telemetry_plan.py"),
    ),
    Mutant(
        "a release is not compared with another's checksum",
        _MESH_PART,
        '{"sha256": "version", "sysext.sha256": "version"}',
        "{}",
        (_LOADER,),
    ),
    Mutant(
        "a broken profile fails its own sites only", "sitefile/entries.py", "found.pop(name, None)", "pass", (_SHARED,)
    ),
    Mutant(
        "rules wait where a fault may have caused them",
        _VALIDATION,
        "found is None or not",
        "found and not",
        (_LOADER,),
    ),
    # Machines.
    Mutant(
        "servers with one window have it one after the other",
        "components/host/reboots.py",
        "windows[:index].count(updates) * length",
        "0 * length",
        ("tests/promises/test_reboots.py",),
    ),
    Mutant(
        "a server reboots only while it holds the lock",
        "components/host/os_updates.sh.j2",
        "until lock && others_are_ready; do",
        "until others_are_ready; do",
        ("tests/components/host/test_os_updates.py",),
    ),
    Mutant(
        "a server reboots only while the others are Ready",
        "components/host/os_updates.sh.j2",
        "until lock && others_are_ready; do",
        "until lock; do",
        ("tests/components/host/test_os_updates.py",),
    ),
    Mutant(
        "Flatcar's own service reboots nothing beside the lock",
        "components/host/flatcar.py",
        '"REBOOT_STRATEGY=off\\n"',
        '"REBOOT_STRATEGY=reboot\\n"',
        ("tests/components/host/test_systems.py",),
    ),
    Mutant(
        "Zincati reboots nothing beside the lock",
        "components/host/fleet_lock.sh.j2",
        "*/v1/steady-state) ;;",
        "*/v1/*) ;;",
        ("tests/components/host/test_os_updates.py",),
    ),
    Mutant(
        "an image stays linked only if it brings the pinned K3s",
        "components/sysext.sh.j2",
        "2>&1) || ! merged; then",
        "2>&1); then",
        ("tests/components/k3s/test_sysext.py",),
    ),
    Mutant(
        "an image of Tailscale that does not fit does not stay linked",
        "components/mesh/tailscale/switch.sh.j2",
        'link_image "$before"; else rm -f -- {{ image.link }}; fi',
        ":; fi",
        ("tests/components/mesh/test_mesh_image.py",),
    ),
    Mutant(
        "K3s starts in its own domain",
        "components/k3s/install.sh.j2",
        "  restorecon -F {{ bin_dir }}/k3s\n",
        "  :\n",
        ("tests/components/k3s/test_selinux.py",),
    ),
    Mutant(
        "a disk that only a password opens is not bound to the TPM",
        "components/host/luks.sh.j2",
        '  return "$told"\n',
        "  return 0\n",
        ("tests/components/host/test_luks.py",),
    ),
    Mutant(
        "a token whose key slot is gone is no proof",
        "components/host/luks.sh.j2",
        ' && $1 == "Keyslot:"',
        "",
        ("tests/components/host/test_luks.py",),
    ),
    *ONBOARDING,
    *PREVIEW,
    *COMPANY,
    *PACKAGE,
    *PICTURES,
    *CONSEQUENCES,
    # How hosts are reached.
    Mutant("the host's own key is pinned", _REACH, '"host_key": self._machine.spec.host_key,', "", (_SSH,)),
    Mutant(
        "the jump host's key is pinned",
        _REACH,
        "ProxyConnectionArgs(**self._through._endpoint(dial_attempts))",
        'ProxyConnectionArgs(**{**self._through._endpoint(dial_attempts), "host_key": None})',
        (_SSH,),
    ),
    Mutant("the bastion's key is pinned", _REACH, ', "host_key": bastion.host_key}', "}", (_SSH,)),
    Mutant(
        "a wrong password of sudo is tried once, and no secret as another",
        "components/shell.py",
        "{ echo 'error: sudo does not accept the password (the secret {secret})' >&2; exit 1; }; ",
        "true; ",
        ("tests/components/test_as_root.py",),
    ),
    Mutant(
        "no script takes the password of sudo for a secret of its own",
        "components/shell.py",
        "[ -n ",
        "[ -z ",
        ("tests/components/test_as_root.py",),
    ),
    Mutant(
        "a node of a cluster with IPv6 is known by its IPv6 address",
        "components/k3s/plan.py",
        "(6 in families(spec.pod_cidr) and parsed(machine.node_address))",
        "False",
        ("tests/components/k3s/test_families.py",),
    ),
    Mutant(
        "a host whose default route would end is refused",
        _HOST_CHECKS,
        '2>/dev/null)" != 1 ] ||',
        '2>/dev/null)" != 9 ] ||',
        ("tests/components/k3s/test_families.py",),
    ),
    Mutant(
        "a virtual IP that a router leads to is refused",
        _HOST_CHECKS,
        '*" via "* | none*)',
        '*" never "*)',
        ("tests/components/k3s/test_virtual_ip.py",),
    ),
    Mutant(
        "kube-vip may touch its own lease alone",
        "components/k3s/virtual_ip.py",
        '"resourceNames": [_LEASE],',
        "",
        ("tests/components/k3s/test_virtual_ip.py",),
    ),
    Mutant("the gate of a host retries", _HOST, "dial_attempts=machine.ssh.dial_attempts,", "", (_SSH,)),
    Mutant(
        "each attempt to connect has a time limit", _REACH, '"per_dial_timeout": self._ssh.dial_timeout_s,', "", (_SSH,)
    ),
    Mutant(
        "a jump host is prepared before the host behind it is tried",
        _HOST,
        "*([args.jump_host.ready] if args.jump_host else [])",
        "",
        (_SSH,),
    ),
    Mutant(
        "commands of one host are serial",
        _HOST,
        "*([before] if before is not None else []),",
        "",
        (_SSH,),
    ),
    Mutant("a host installed anew is waited for again", _HOST, "triggers=[scripts.identity],", "", (_SSH,)),
    Mutant("preparing a host is undone on destroy", _HOST, "delete=scripts.leave,", "", (_SSH,)),
    Mutant("a host leaves the mesh on destroy", _TAILSCALE, "delete=scripts.leave, ", "", (_SSH,)),
    # Secrets.
    Mutant(
        "secrets reach a host by standard input",
        _HOST,
        "stdin=self.reach.stdin(stdin),",
        "",
        (_SECRETS,),
    ),
    Mutant(
        "no secret is in a command's environment",
        _HOST,
        "add_previous_output_in_env=False,",
        'add_previous_output_in_env=False, environment=None if stdin is None else {"SECRET": stdin},',
        (_SECRETS,),
    ),
    Mutant(
        "no secret is a trigger",
        _HOST,
        "triggers=None if triggers is None else list(triggers),",
        "triggers=list(triggers or ()) if stdin is None else [stdin],",
        (_SECRETS,),
    ),
    Mutant(
        "what a command with secrets prints is secret",
        _HOST,
        '["stdout", "stderr"] if hidden else None',
        "None",
        (_SECRETS,),
    ),
    Mutant("the kubeconfig is in no log", _HOST, "remote.Logging.NONE if secret_stdout else ", "", (_SECRETS,)),
    Mutant("the kubeconfig is secret", _K3S_COMPONENT, "secret_stdout=True", "secret_stdout=False", (_SECRETS,)),
    Mutant(
        "earlier output is in no environment",
        _HOST,
        "add_previous_output_in_env=False",
        "add_previous_output_in_env=True",
        (_SECRETS,),
    ),
    Mutant(
        "values of Kubernetes Secrets are marked",
        _OBJECTS,
        "pulumi.Output.secret(body[key]) for key",
        "body[key] for key",
        (_SECRETS,),
    ),
    Mutant(
        "values of Kubernetes Secrets are marked in the outputs too",
        _OBJECTS,
        '{"additional_secret_outputs": values, **options}',
        "{**options}",
        (_SECRETS,),
    ),
    Mutant(
        "no process on a host has the mesh's key as an argument",
        "components/mesh/tailscale/join.sh.j2",
        '--auth-key="file:$key_file"',
        '--auth-key="$auth_key"',
        (_SECRETS,),
    ),
    Mutant(
        "a token is readable by root only",
        "components/k3s/token.sh.j2",
        'put_file "$1" 0600 <<<"$2"',
        'put_file "$1" 0644 <<<"$2"',
        (_SECRETS,),
    ),
    Mutant(
        "a made key of the tailnet is a secret output",
        _TAILSCALE,
        ', additional_secret_outputs=["key"]',
        "",
        (_SECRETS,),
        "the SDK's own class marks `key` as well, so nothing is shown without it",
    ),
    Mutant(
        "the host key in user data is a secret output",
        _OUTPOSTS,
        'additional_secret_outputs=["userData", "userDataBase64"],',
        "",
        (_CLOUDS,),
    ),
    # Downloads.
    Mutant(
        "a download is checked before it is installed",
        _PRELUDE,
        'if ! printf \'%s  %s\\n\' "$sha256" "$tmp" | sha256sum -c --status -; then',
        "if false; then",
        (_DOWNLOADS,),
    ),
    Mutant(
        "a file that is there is checked before it is kept",
        _PRELUDE,
        '&& printf \'%s  %s\\n\' "$sha256" "$dest" | sha256sum -c --status -; then',
        "; then",
        (_DOWNLOADS,),
    ),
    Mutant(
        "K3s is downloaded with its checksum",
        "components/k3s/install.sh.j2",
        "{{ binary_sha256 }}",
        "none",
        (_K3S,),
    ),
    # The cluster.
    Mutant(
        "Secrets are encrypted at rest", _K3S_PLAN, '"secrets-encryption": True', '"secrets-encryption": False', (_K3S,)
    ),
    Mutant(
        "the API server has its audit policy", _HARDENING, 'f"audit-policy-file={SERVER_DIR}/audit.yaml",', "", (_K3S,)
    ),
    Mutant(
        "the API server writes its audit log", _HARDENING, 'f"audit-log-path={SERVER_DIR}/logs/audit.log",', "", (_K3S,)
    ),
    Mutant("the audit policy records requests", _HARDENING, '{"level": "Metadata"},', '{"level": "None"},', (_K3S,)),
    Mutant(
        "the audit policy is on the server",
        _K3S_PLAN,
        'f"{hardening.SERVER_DIR}/audit.yaml": (',
        'f"{hardening.SERVER_DIR}/other.yaml": (',
        (_K3S,),
    ),
    Mutant(
        "pods are restricted by default",
        _HARDENING,
        '(("", "restricted"), ("-version", "latest"))',
        '(("", "privileged"), ("-version", "latest"))',
        (_K3S,),
    ),
    Mutant(
        "the kubelet insists on its kernel settings",
        _K3S_PLAN,
        '"protect-kernel-defaults": True',
        '"protect-kernel-defaults": False',
        (_K3S,),
    ),
    Mutant(
        "the kubeconfig on a server is for root only",
        _K3S_PLAN,
        '"write-kubeconfig-mode": "0600"',
        '"write-kubeconfig-mode": "0644"',
        (_K3S,),
    ),
    Mutant("pods without a profile are confined", _HARDENING, '"seccomp-default=true",', "", (_K3S,)),
    Mutant(
        "the default account of kube-system and its like has no token",
        _HARDENING,
        'service_account("default", namespace)',
        'service_account("other", namespace)',
        (_K3S,),
    ),
    Mutant(
        "the default account of our namespaces has no token",
        _OBJECTS,
        'if kind == "Namespace":',
        "if False:",
        (_CLUSTER,),
    ),
    Mutant(
        "the default account of Arc's namespace has no token",
        _ARC,
        'create(self, f"{name}-agents-default-account", default_account(release.namespace), depends_on=[agents])',
        "",
        (_CLUSTER,),
    ),
    Mutant(
        "only root looks into the server's folder",
        "components/k3s/install.sh.j2",
        "install -d -m 0700 {{ server_dir }}",
        "install -d -m 0755 {{ server_dir }}",
        (_K3S,),
    ),
    Mutant(
        "a host is asked for what K3s needs of it",
        "stacks/edge_site.py",
        "checks=checks[machine.name],",
        "",
        (_K3S,),
    ),
    Mutant(
        "a link that was made to try WireGuard does not stay",
        _HOST_CHECKS,
        "  ip link delete dev edge-check\n",
        "  :\n",
        (_TEST_HOST_CHECKS,),
    ),
    Mutant(
        "network policies need ipset",
        _HOST_CHECKS,
        '[ -z "$absent" ] || lack',
        "true || lack",
        (_TEST_HOST_CHECKS,),
    ),
    Mutant(
        "a host that leaves K3s keeps none of its sets of addresses",
        _UNINSTALL_K3S,
        'ipset destroy "$name"',
        ": ",
        (_TEST_UNINSTALL,),
    ),
    Mutant(
        "K3s' sets of addresses go where only K3s has an ipset",
        _UNINSTALL_K3S,
        "/var/lib/rancher/k3s/data/*/bin /var",
        "/var",
        (_TEST_UNINSTALL,),
    ),
    Mutant(
        "a host with cgroup v1 is refused",
        _HOST_CHECKS,
        "{% if needs_cgroup_v2 %}",
        "{% if not backend %}",
        (_TEST_HOST_CHECKS,),
    ),
    Mutant(
        "a port that another program has is not K3s' own",
        _HOST_CHECKS,
        "/(k3s|k3s-agent)\\.service",
        "/",
        (_TEST_HOST_CHECKS,),
    ),
    Mutant(
        "the reason of a crash is found before the journal's end",
        "components/k3s/why_stopped.sh.j2",
        "Shutdown request received|",
        "",
        (_WHY_STOPPED,),
    ),
    Mutant(
        "a lasting loop of errors does not hide the reason",
        "components/k3s/why_stopped.sh.j2",
        "seen[$key]=1",
        ":",
        (_WHY_STOPPED,),
    ),
    Mutant(
        "no token is in what K3s said",
        "components/k3s/why_stopped.sh.j2",
        'line=${line//"$secret"/<hidden>}',
        ":",
        (_WHY_STOPPED,),
    ),
    Mutant(
        "no password of a datastore is in what K3s said",
        "components/k3s/why_stopped.sh.j2",
        "-e 's#(://[^[:space:]/:@]*:)[^[:space:]]*@#\\1<hidden>@#g' \\\n",
        "\\\n",
        (_WHY_STOPPED,),
    ),
    Mutant("a node that goes is drained", "components/k3s/remove.sh.j2", "kubectl drain", ": drain", (_K3S,)),
    Mutant("a node that goes is forgotten", _K3S_COMPONENT, ", delete=scripts.remove", "", (_K3S,)),
    Mutant(
        "an only server is not removed from its own cluster",
        _K3S_COMPONENT,
        "host.command(self, _WAIT_READY, script, depends_on=installed)",
        "host.command(self, _WAIT_READY, script, depends_on=installed, delete=scripts.remove)",
        (_K3S,),
    ),
    Mutant(
        "an old node is forgotten once the cluster is there",
        _K3S_COMPONENT,
        "depends_on=before,\n            )\n            before = [*before, forgotten]",
        ")\n            before = [*before, forgotten]",
        (_K3S,),
    ),
    Mutant(
        "a host joins after its old node is forgotten", _K3S_COMPONENT, "before = [*before, forgotten]", "", (_K3S,)
    ),
    Mutant(
        "the same installation is never forgotten",
        _K3S_COMPONENT,
        "update=reapply + scripts.same_installation,",
        "",
        (_K3S,),
    ),
    Mutant(
        "a token without a CA is given to nobody",
        "components/k3s/install.sh.j2",
        'names_its_ca "$joining" ||',
        "true ||",
        (_K3S,),
    ),
    Mutant("no start of K3s blocks", "components/k3s/start.sh.j2", "--no-block restart", "restart", (_K3S,)),
    Mutant(
        "a permit outlives everything but a Ready node",
        "components/k3s/install.sh.j2",
        "until ready; do",
        "until true; do",
        (_K3S,),
    ),
    Mutant("a node is drained before K3s leaves it", _K3S_COMPONENT, "depends_on=installed, ", "", (_K3S,)),
    Mutant("K3s is uninstalled on destroy", _K3S_COMPONENT, "delete=scripts.uninstall,", "", (_SSH, _K3S)),
    Mutant(
        "other nodes are drained before the first server",
        _K3S_COMPONENT,
        "before = [self._wait_ready(first, plans[first.node], [*before, installs[first.node]])]",
        "self._wait_ready(first, plans[first.node], [*before, installs[first.node]])",
        (_K3S,),
    ),
    Mutant(
        "a node is removed before its own host is uninstalled",
        _K3S_COMPONENT,
        "plans[server.node], [*before, installs[server.node]])",
        "plans[server.node], before)",
        (_K3S,),
    ),
    Mutant(
        "a cluster is founded once", _K3S_COMPONENT, "                update=cluster.cluster_init_used,\n", "", (_K3S,)
    ),
    Mutant(
        "an unreachable cluster holds up nothing else", _K3S_COMPONENT, "skip_update_unreachable=True,", "", (_K3S,)
    ),
    Mutant(
        "a new kubeconfig replaces nothing in the cluster", _K3S_COMPONENT, "cluster_identifier=args.site,", "", (_K3S,)
    ),
    # What runs in it.
    Mutant("Helm releases are atomic", _OBJECTS, "atomic=True", "atomic=False", (_CLUSTER,)),
    Mutant("a failed release is cleaned up", _OBJECTS, "cleanup_on_fail=True", "cleanup_on_fail=False", (_CLUSTER,)),
    Mutant("Arc's onboarding goes on where it stopped", _ARC, "atomic=False", "atomic=True", (_CLUSTER,)),
    Mutant(
        "Helm's limit strikes before Pulumi's",
        _ARC,
        "_RELEASE_MARGIN_MINUTES = 10",
        "_RELEASE_MARGIN_MINUTES = 0",
        (_CLUSTER,),
    ),
    Mutant(
        "the inference server's image has an hour to arrive",
        _TRITON,
        'custom_timeouts=pulumi.CustomTimeouts(create="60m", update="60m"),',
        "",
        (_CLUSTER,),
    ),
    Mutant(
        "a collector has half an hour to start",
        _TELEMETRY,
        'custom_timeouts=pulumi.CustomTimeouts(create="30m", update="30m"),',
        "",
        (_CLUSTER,),
    ),
    Mutant(
        "default-deny is for both directions",
        _RESTRICTED,
        '"policyTypes": ["Ingress", "Egress"]',
        '"policyTypes": ["Ingress"]',
        (_CLUSTER,),
    ),
    Mutant(
        "Flux's namespace is closed",
        _FLUX_PLAN,
        "(default_deny(NAMESPACE), _allowed(spec, egress), *_asks_its_machine(spec))",
        "(_allowed(spec, egress), *_asks_its_machine(spec))",
        (_CLUSTER,),
    ),
    Mutant(
        "the models' namespace is closed",
        _TRITON_PLAN,
        "(default_deny(NAMESPACE), _allowed(triton, scraper))",
        "(_allowed(triton, scraper),)",
        (_CLUSTER,),
    ),
    Mutant(
        "the collectors' namespace is closed",
        _TELEMETRY_PLAN,
        "(default_deny(NAMESPACE), _allowed(spec, site.scrapes, site.egress))",
        "(_allowed(spec, site.scrapes, site.egress),)",
        (_CLUSTER,),
    ),
    Mutant(
        "Flux starts behind closed doors",
        _FLUX,
        "depends_on=(namespace, *closed)",
        "depends_on=(namespace,)",
        (_CLUSTER,),
    ),
    Mutant(
        "a namespace refuses pods that are not restricted",
        _RESTRICTED,
        '"pod-security.kubernetes.io/enforce": "restricted"',
        '"pod-security.kubernetes.io/enforce": "baseline"',
        (_CLUSTER,),
    ),
    Mutant(
        "models are pulled through the site's proxy",
        "components/inference/ollama/plan.py",
        "tcp(443, *proxy)",
        "tcp(443)",
        (_NETWORK,),
    ),
    Mutant(
        "models are pulled with the authorities that the site trusts",
        "components/inference/ollama/plan.py",
        '    pod["volumes"] += egress_of_pods.volumes(egress)\n',
        "",
        (_NETWORK,),
    ),
    Mutant(
        "Rancher's agent goes out through the site's proxy",
        "components/registration/rancher/component.py",
        "registration.agent_environment.items()",
        "()",
        (_NETWORK,),
    ),
    Mutant(
        "Rancher is given no login that it would show",
        "components/registration/rancher/part.py",
        'found["proxy"] = _NO_LOGIN',
        "pass",
        (_NETWORK,),
    ),
    Mutant("containers have no capability", _RESTRICTED, '"capabilities": {"drop": ["ALL"]},', "", (_CLUSTER,)),
    Mutant(
        "containers write only to volumes",
        _RESTRICTED,
        '"readOnlyRootFilesystem": True',
        '"readOnlyRootFilesystem": False',
        (_CLUSTER,),
    ),
    Mutant(
        "no pod has a token by default",
        _RESTRICTED,
        '"automountServiceAccountToken": False',
        '"automountServiceAccountToken": True',
        (_CLUSTER,),
    ),
    Mutant(
        "the inference server starts while the uplink is down",
        _TRITON_PLAN,
        '"imagePullPolicy": "IfNotPresent"',
        '"imagePullPolicy": "Always"',
        (_CLUSTER,),
    ),
    Mutant(
        "unsent telemetry outlives its collector",
        _TELEMETRY_PLAN,
        '"whenDeleted": "Retain"',
        '"whenDeleted": "Delete"',
        (_CLUSTER,),
    ),
    Mutant(
        "one GPU is not asked for twice",
        _TRITON_PLAN,
        '{"type": "Recreate"}',
        '{"type": "RollingUpdate"}',
        (_CLUSTER,),
    ),
    Mutant(
        "the inference server is ready only with its models",
        _TRITON_PLAN,
        '"--strict-readiness=true",',
        "",
        (_CLUSTER,),
    ),
    Mutant("up waits for a Ready of this change", _FLUX_PLAN, '["condition=Ready", ', "[", (_CLUSTER,)),
    Mutant("sources are verified", _FLUX_PLAN, "if source.verify:", "if not source.verify:", (_CLUSTER,)),
    Mutant("Flux removes what left the repository", _FLUX_PLAN, '"prune": True', '"prune": False', (_CLUSTER,)),
    Mutant(
        "custom objects wait for their definitions",
        _FLUX,
        "needed_by_source = [instance, *logins]",
        "needed_by_source = [namespace, *logins]",
        (_CLUSTER,),
    ),
    # Clouds.
    Mutant("an instance's volume is encrypted", _OUTPOSTS, "encrypted=True", "encrypted=False", (_CLOUDS,)),
    Mutant("a node's volume is encrypted", _EKS, 'encrypted="true"', 'encrypted="false"', (_CLOUDS,)),
    Mutant(
        "no pod gets its machine's credentials",
        _OUTPOSTS_PLAN,
        '"http_tokens": "required"',
        '"http_tokens": "optional"',
        (_CLOUDS,),
    ),
    Mutant(
        "an instance gives up its address first",
        _OUTPOSTS,
        "delete_before_replace=True",
        "delete_before_replace=False",
        (_CLOUDS,),
    ),
    Mutant("user data does not restart a site", _OUTPOSTS, 'ignore_changes=["userData"],', "", (_CLOUDS,)),
    Mutant(
        "a local cluster's API is private",
        _EKS,
        "endpoint_public_access=False",
        "endpoint_public_access=True",
        (_CLOUDS,),
    ),
    Mutant(
        "no edit makes another key for Arc",
        _ARC,
        ', ignore_changes=["algorithm", "rsaBits", "ecdsaCurve"]',
        "",
        (_CLOUDS,),
    ),
    Mutant("Arc's registration can be protected", _ARC, "protect=spec.protect", "protect=False", (_CLOUDS,)),
    Mutant(
        "registering with Arc has its time",
        _ARC,
        "create=_CLUSTER_TIMEOUT, update=_CLUSTER_TIMEOUT, delete=_CLUSTER_TIMEOUT",
        "",
        (_CLOUDS,),
    ),
    Mutant("a device stays when it is offline", _TAILSCALE, "ephemeral=False", "ephemeral=True", (_CLOUDS,)),
    # Rolling out.
    Mutant(
        "`edge up` is judged by the policies",
        "edge/run/operation.py",
        'arguments = [*command, "--policy-pack", str(pack_folder(self.root)), *self.program]',
        "arguments = [*command, *self.program]",
        (_ROLLOUT,),
    ),
)
