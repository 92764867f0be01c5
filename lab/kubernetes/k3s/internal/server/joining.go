package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"

	"edge/lab/kubernetes/k3s/internal/join"
	"edge/lab/kubernetes/k3s/internal/paths"
	"edge/lab/kubernetes/k3s/internal/pki"
)

func answer[Request, Reply any](w http.ResponseWriter, r *http.Request, handle func(Request) (Reply, error)) {
	var request Request
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reply, err := handle(request)
	switch {
	case err == nil:
		_ = json.NewEncoder(w).Encode(reply)
	case errors.Is(err, errRejected):
		http.Error(w, err.Error(), http.StatusForbidden)
	case errors.Is(err, errDuplicate):
		http.Error(w, err.Error(), http.StatusConflict)
	default:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
	if err != nil {
		logrus.Errorf("%s of %s: %v", r.URL.Path, r.RemoteAddr, err)
	}
}

func (s *Server) serveNode(w http.ResponseWriter, r *http.Request) {
	answer(w, r, func(request join.NodeRequest) (join.NodeReply, error) { return s.AdmitNode(r.Context(), request) })
}

// AdmitNode checks a node's password and signs its certificates.
func (s *Server) AdmitNode(ctx context.Context, request join.NodeRequest) (join.NodeReply, error) {
	reply := join.NodeReply{
		ServerCA: s.ca["server-ca"].PEM, ClientCA: s.ca["client-ca"].PEM, Certificates: map[string][]byte{},
		ClusterCIDR: s.network.cluster, ServiceCIDR: s.network.service, ClusterDNS: s.network.dns,
		FlannelBackend: s.config.Text("flannel-backend", "vxlan"), FlannelIPv6Masq: s.config.Is("flannel-ipv6-masq"),
	}
	if request.Node == "" || net.ParseIP(request.Address) == nil {
		return reply, errors.New("a node has a name and an address")
	}
	if !s.ready.Load() {
		return reply, errors.New("the API server is not ready yet")
	}
	if err := checkNodePassword(ctx, s.client, request.Node, request.Password); err != nil {
		return reply, err
	}
	for name, signed := range map[string]struct {
		ca      string
		subject pki.Subject
	}{
		join.ServingKubelet: {"server-ca", pki.Subject{
			Name: request.Node, Hosts: []string{request.Node, request.Address, "127.0.0.1", "localhost"},
		}},
		join.ClientKubelet: {"client-ca", pki.Subject{
			Name: "system:node:" + request.Node, Groups: []string{"system:nodes"},
		}},
		join.ClientKubeProxy:  {"client-ca", pki.Subject{Name: "system:kube-proxy"}},
		join.ClientController: {"client-ca", pki.Subject{Name: "system:k3s-controller"}},
	} {
		certificate, err := s.ca[signed.ca].Sign(request.Requests[name], signed.subject)
		if err != nil {
			return reply, fmt.Errorf("%s: %w", name, err)
		}
		reply.Certificates[name] = certificate
	}
	return reply, nil
}

func (s *Server) serveBootstrap(w http.ResponseWriter, r *http.Request) {
	answer(w, r, func(struct{}) (join.Bootstrap, error) { return s.bootstrap() })
}

func (s *Server) serveEtcd(w http.ResponseWriter, r *http.Request) {
	answer(w, r, func(request join.EtcdRequest) (join.EtcdReply, error) {
		if s.usesEtcd.Load() && !s.member.Load() {
			return join.EtcdReply{}, errNoMember
		}
		if s.etcd == nil {
			return join.EtcdReply{}, errNoEtcd
		}
		return s.etcd.add(r.Context(), request)
	})
}

// This server listens and is not a member itself yet: it is the one that asks, or its etcd has no leader.
var errNoMember = errors.New("failed to get etcd MemberList: the etcd server is not available")

var errNoEtcd = errors.New("this server has no embedded etcd: a further server needs one, or an external datastore")

// What this server's disk holds of that which all servers share.
func (s *Server) bootstrap() (join.Bootstrap, error) {
	result := join.Bootstrap{Files: map[string][]byte{}, Settings: s.sharedSettings()}
	files := []string{serviceKey, encryptionFile}
	for name := range authorities {
		files = append(files, tlsPath(name)+".crt", tlsPath(name)+".key")
	}
	for _, path := range files {
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return result, err
		}
		result.Files[strings.TrimPrefix(path, paths.Server+"/")] = content
	}
	return result, nil
}

func (s *Server) sharedSettings() map[string]string {
	settings := map[string]string{
		"cluster-cidr": s.network.cluster, "service-cidr": s.network.service, "cluster-dns": s.network.dns,
		"flannel-backend":             s.config.Text("flannel-backend", "vxlan"),
		"flannel-ipv6-masq":           fmt.Sprint(s.config.Is("flannel-ipv6-masq")),
		"secrets-encryption":          fmt.Sprint(s.config.Is("secrets-encryption")),
		"secrets-encryption-provider": s.config.Text("secrets-encryption-provider", "aescbc"),
		"embedded-registry":           fmt.Sprint(s.config.Is("embedded-registry")),
		"disable-servicelb":           fmt.Sprint(slices.Contains(s.config.List("disable"), "servicelb")),
	}
	return settings
}

// Puts what the other servers have on this disk, if this server is told the same as they are.
func (s *Server) adopt(given join.Bootstrap) error {
	own := s.sharedSettings()
	different := []string{}
	for name, value := range given.Settings {
		if own[name] != value {
			different = append(different, name)
		}
	}
	if len(different) > 0 {
		slices.Sort(different)
		for _, name := range different {
			logrus.Warnf("critical configuration mismatched: %s", name)
		}
		return errors.New("critical configuration value mismatch between servers")
	}
	for name, content := range given.Files {
		path := filepath.Join(paths.Server, name)
		if !filepath.IsLocal(name) {
			return fmt.Errorf("a server sent a file that does not belong there: %s", name)
		}
		if err := pki.Write(path, content); err != nil {
			return err
		}
	}
	return nil
}
