package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"edge/lab/kubernetes/k3s/internal/child"
	"edge/lab/kubernetes/k3s/internal/join"
	"edge/lab/kubernetes/k3s/internal/paths"
	"edge/lab/kubernetes/k3s/internal/pki"
)

// What has no flag. failCgroupV1 is the default of the kubelet that sites get: the one in here is older and has another.
// Flags go before it, and other files in its folder do too, if their names come later.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
failCgroupV1: true
authentication:
  webhook:
    cacheTTL: 10s
evictionHard:
  imagefs.available: 5%
  nodefs.available: 5%
evictionMinimumReclaim:
  imagefs.available: 10%
  nodefs.available: 10%
`

func (a *Agent) startKubelet() error {
	if err := pki.Write(filepath.Join(paths.KubeletConfig, "00-k3s-defaults.conf"), []byte(kubeletConfig)); err != nil {
		return err
	}
	flags := map[string]string{
		"anonymous-auth":               "false",
		"authentication-token-webhook": "true",
		"authorization-mode":           "Webhook",
		"client-ca-file":               agentPath("client-ca.crt"),
		"cluster-dns":                  a.cluster.ClusterDNS,
		"cluster-domain":               "cluster.local",
		"config-dir":                   paths.KubeletConfig,
		"container-runtime-endpoint":   "unix://" + paths.ContainerdSock,
		"healthz-bind-address":         "127.0.0.1",
		"hostname-override":            a.name,
		"kubeconfig":                   kubeconfig("kubelet"),
		"node-ip":                      a.config.Text("node-ip", a.address),
		"protect-kernel-defaults":      fmt.Sprint(a.config.Is("protect-kernel-defaults")),
		"read-only-port":               "0",
		"resolv-conf":                  a.resolvConf(),
		"root-dir":                     paths.KubeletRoot,
		"tls-cert-file":                agentPath(join.ServingKubelet + ".crt"),
		"tls-private-key-file":         agentPath(join.ServingKubelet + ".key"),
	}
	if labels := a.config.List("node-label"); len(labels) > 0 {
		flags["node-labels"] = strings.Join(labels, ",")
	}
	if taints := a.config.List("node-taint"); len(taints) > 0 {
		flags["register-with-taints"] = strings.Join(taints, ",")
	}
	return a.children.Self("kubelet", child.Merge(flags, a.config.List("kubelet-arg"))...)
}

// The host's, unless only the host itself can use it; a kubelet needs one.
func (a *Agent) resolvConf() string {
	content, err := os.ReadFile("/etc/resolv.conf")
	if err == nil && !strings.Contains(string(content), "nameserver 127.") {
		return "/etc/resolv.conf"
	}
	path := filepath.Join(paths.AgentEtc, "resolv.conf")
	// Not empty: containerd would copy the host's, which may not be there at all.
	_ = pki.Write(path, []byte("options timeout:2\n"))
	return path
}

func (a *Agent) startKubeProxy() error {
	flags := map[string]string{
		"cluster-cidr":                      a.cluster.ClusterCIDR,
		"conntrack-max-per-core":            "0",
		"conntrack-tcp-timeout-close-wait":  "0s",
		"conntrack-tcp-timeout-established": "0s",
		"healthz-bind-address":              "127.0.0.1",
		"hostname-override":                 a.name,
		"kubeconfig":                        kubeconfig("kubeproxy"),
		"proxy-mode":                        "iptables",
	}
	return a.children.Self("kube-proxy", child.Merge(flags, a.config.List("kube-proxy-arg"))...)
}
