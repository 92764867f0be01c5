package server

import (
	"net"
	"os"
	"path/filepath"

	"edge/lab/kubernetes/k3s/internal/kube"
	"edge/lab/kubernetes/k3s/internal/paths"
	"edge/lab/kubernetes/k3s/internal/pki"
)

// The API server has the front's port, since that is the one that it advertises to pods; which of them a connection
// reaches, its address decides: the API server listens on this one alone, the front on all others.
const (
	port       = "6443"
	apiAddress = "127.0.0.2"
	localAPI   = "https://" + apiAddress + ":" + port
)

// The authorities of a cluster: all servers share them.
var authorities = map[string]string{
	"server-ca":         "k3s-server-ca",
	"client-ca":         "k3s-client-ca",
	"request-header-ca": "k3s-request-header-ca",
	"etcd/server-ca":    "etcd-server-ca",
	"etcd/peer-ca":      "etcd-peer-ca",
}

const serviceKey = paths.TLS + "/service.key"

func tlsPath(name string) string { return filepath.Join(paths.TLS, name) }

func (s *Server) ensureAuthorities() error {
	for name, holder := range authorities {
		ca, err := pki.EnsureCA(tlsPath(name), holder)
		if err != nil {
			return err
		}
		s.ca[name] = ca
	}
	return pki.EnsureServiceKey(serviceKey)
}

// A server's own certificates, signed by the shared authorities, and the kubeconfigs of its programs.
func (s *Server) ensureCertificates() error {
	own := []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}
	own = append(own, "localhost", "127.0.0.1", "::1", apiAddress, s.node, s.address, s.network.apiService)
	own = append(own, s.config.List("tls-san")...)
	for _, wanted := range []struct {
		ca, name string
		subject  pki.Subject
	}{
		{"server-ca", "serving-kube-apiserver", pki.Subject{Name: "kube-apiserver", Hosts: own}},
		{"client-ca", "client-admin", pki.Subject{Name: "system:admin", Groups: []string{"system:masters"}}},
		{"client-ca", "client-supervisor", pki.Subject{Name: "system:k3s-supervisor", Groups: []string{"system:masters"}}},
		{"client-ca", "client-controller", pki.Subject{Name: "system:kube-controller-manager"}},
		{"client-ca", "client-scheduler", pki.Subject{Name: "system:kube-scheduler"}},
		{"client-ca", "client-kube-apiserver", pki.Subject{Name: "system:apiserver", Groups: []string{"system:masters"}}},
		{"request-header-ca", "client-auth-proxy", pki.Subject{Name: "system:auth-proxy"}},
		{"etcd/server-ca", "etcd/client", pki.Subject{Name: "etcd-client"}},
		{"etcd/server-ca", "etcd/server-client", pki.Subject{Name: "etcd-server", Hosts: s.etcdHosts()}},
		{"etcd/peer-ca", "etcd/peer-server-client", pki.Subject{Name: "etcd-peer", Hosts: s.etcdHosts()}},
	} {
		if err := s.ca[wanted.ca].Ensure(tlsPath(wanted.name), wanted.subject); err != nil {
			return err
		}
	}
	for file, name := range map[string]string{
		"admin": "client-admin", "supervisor": "client-supervisor",
		"controller": "client-controller", "scheduler": "client-scheduler",
	} {
		err := kube.WriteConfig(kubeconfig(file), localAPI, tlsPath("server-ca.crt"), tlsPath(name))
		if err != nil {
			return err
		}
	}
	return nil
}

func kubeconfig(of string) string { return filepath.Join(paths.Cred, of+".kubeconfig") }

func (s *Server) etcdHosts() []string { return []string{"localhost", "127.0.0.1", s.node, s.address} }

// The administrator's kubeconfig goes through the front, as from any other machine.
func (s *Server) writeAdminKubeconfig() error {
	content := [3][]byte{}
	for i, name := range []string{"server-ca.crt", "client-admin.crt", "client-admin.key"} {
		read, err := os.ReadFile(tlsPath(name))
		if err != nil {
			return err
		}
		content[i] = read
	}
	server := "https://" + net.JoinHostPort("127.0.0.1", port)
	if err := kube.WriteWholeConfig(paths.Kubeconfig, server, content[0], content[1], content[2]); err != nil {
		return err
	}
	return os.Chmod(paths.Kubeconfig, s.kubeconfigMode)
}
