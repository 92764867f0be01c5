// Package paths names the files and folders of a node, as K3s names them.
package paths

const (
	Config     = "/etc/rancher/k3s/config.yaml"
	ConfigDir  = "/etc/rancher/k3s/config.yaml.d"
	Registries = "/etc/rancher/k3s/registries.yaml"
	Kubeconfig = "/etc/rancher/k3s/k3s.yaml"
	// NodePassword says that a node of this name is the one that registered it first.
	NodePassword = "/etc/rancher/node/password"

	Data   = "/var/lib/rancher/k3s"
	Bin    = Data + "/data/lab/bin"
	Aux    = Bin + "/aux"
	Server = Data + "/server"
	Agent  = Data + "/agent"

	TLS       = Server + "/tls"
	EtcdTLS   = TLS + "/etcd"
	Cred      = Server + "/cred"
	Manifests = Server + "/manifests"
	Logs      = Server + "/logs"
	DB        = Server + "/db"
	SQLite    = DB + "/state.db"
	Etcd      = DB + "/etcd"
	KineSock  = Server + "/kine.sock"

	Images        = Agent + "/images"
	AgentEtc      = Agent + "/etc"
	CNIConfig     = AgentEtc + "/cni/net.d"
	KubeletConfig = AgentEtc + "/kubelet.conf.d"
	CNIBin        = "/usr/lib/cni"
	ContainerdRun = "/run/k3s/containerd"
	// ContainerdSock is where the kubelet, crictl and ctr reach this node's containerd.
	ContainerdSock = ContainerdRun + "/containerd.sock"
	KubeletRoot    = "/var/lib/kubelet"
)
