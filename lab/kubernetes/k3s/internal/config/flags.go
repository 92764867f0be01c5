package config

type kind int

const (
	text kind = iota
	yesNo
	list
)

type role int

const (
	// Server runs the control plane and a node.
	Server role = 1 << iota
	// Agent runs a node.
	Agent

	both = Server | Agent
)

type flag struct {
	kind  kind
	roles role
	// standIn says what the lab does instead, where a setting is accepted and has no effect, or another one.
	standIn string
}

// Every setting that this program knows: those of K3s that the project uses. A test of the lab holds that a site's
// configuration has no other, since what is unknown has no effect here.
var flags = map[string]flag{
	"server":     {text, both, ""},
	"token":      {text, both, ""},
	"token-file": {text, both, ""},

	"node-name":               {text, both, ""},
	"node-ip":                 {text, both, ""},
	"node-label":              {list, both, ""},
	"node-taint":              {list, both, ""},
	"protect-kernel-defaults": {yesNo, both, ""},
	"kubelet-arg":             {list, both, ""},
	"kube-proxy-arg":          {list, both, ""},
	"debug":                   {yesNo, both, ""},

	"agent-token":                 {text, Server, ""},
	"agent-token-file":            {text, Server, ""},
	"write-kubeconfig-mode":       {text, Server, ""},
	"tls-san":                     {list, Server, ""},
	"advertise-address":           {text, Server, ""},
	"disable":                     {list, Server, ""},
	"disable-agent":               {yesNo, Server, ""},
	"cluster-cidr":                {text, Server, ""},
	"service-cidr":                {text, Server, ""},
	"cluster-dns":                 {text, Server, ""},
	"secrets-encryption":          {yesNo, Server, ""},
	"secrets-encryption-provider": {text, Server, ""},
	"kube-apiserver-arg":          {list, Server, ""},
	"kube-controller-manager-arg": {list, Server, ""},
	"kube-scheduler-arg":          {list, Server, ""},

	"cluster-init":                {yesNo, Server, ""},
	"datastore-endpoint":          {text, Server, ""},
	"datastore-cafile":            {text, Server, ""},
	"datastore-certfile":          {text, Server, ""},
	"datastore-keyfile":           {text, Server, ""},
	"etcd-snapshot-schedule-cron": {text, Server, "no snapshots are taken"},
	"etcd-snapshot-retention":     {text, Server, "no snapshots are taken"},

	"flannel-backend":   {text, Server, "pods reach other nodes by plain routes on the hosts' network, not encrypted"},
	"flannel-ipv6-masq": {yesNo, Server, ""},
	"embedded-registry": {yesNo, Server, "nodes do not share images"},
}
