// Package server runs a control plane: the datastore and the front in this process, Kubernetes' programs beside it.
package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sirupsen/logrus"
	"k8s.io/client-go/kubernetes"

	"edge/lab/kubernetes/k3s/internal/child"
	"edge/lab/kubernetes/k3s/internal/config"
	"edge/lab/kubernetes/k3s/internal/join"
	"edge/lab/kubernetes/k3s/internal/kube"
	"edge/lab/kubernetes/k3s/internal/paths"
	"edge/lab/kubernetes/k3s/internal/pki"
	"edge/lab/kubernetes/k3s/internal/token"
)

// Server is the control plane of one host.
type Server struct {
	config         *config.Config
	children       *child.Group
	node, address  string
	network        network
	kubeconfigMode os.FileMode

	// shownToken is the servers' token as it was given; token and agentToken are the secrets that are compared.
	shownToken token.Token
	token      string
	agentToken string

	ca        map[string]*pki.CA
	datastore datastore
	etcd      *etcdMember
	client    *kubernetes.Clientset
	ready     atomic.Bool
	// usesEtcd is set before the front starts, member when this server has a vote.
	usesEtcd, member atomic.Bool
	failed           chan error
	front            atomic.Pointer[http.Server]

	// The datastore outlives the programs that use it.
	outlives context.Context
	close    context.CancelFunc
	kine     sync.WaitGroup
}

type network struct {
	cluster, service string
	apiService, dns  string
}

// New checks what a server is told. Nothing runs yet.
func New(told *config.Config, children *child.Group, node, address string) (*Server, error) {
	s := &Server{
		config: told, children: children, node: node, address: address,
		ca: map[string]*pki.CA{}, failed: make(chan error, 16),
	}
	s.outlives, s.close = context.WithCancel(context.Background())
	mode, err := strconv.ParseUint(told.Text("write-kubeconfig-mode", "0600"), 8, 32)
	if err != nil {
		return nil, fmt.Errorf("write-kubeconfig-mode: %w", err)
	}
	s.kubeconfigMode = os.FileMode(mode)
	if s.network, err = networkOf(told); err != nil {
		return nil, err
	}
	return s, s.readTokens()
}

func networkOf(told *config.Config) (network, error) {
	result := network{cluster: told.Text("cluster-cidr", "10.42.0.0/16"), service: told.Text("service-cidr", "10.43.0.0/16")}
	if _, err := prefixes(result.cluster); err != nil {
		return result, fmt.Errorf("cluster-cidr: %w", err)
	}
	services, err := prefixes(result.service)
	if err != nil {
		return result, fmt.Errorf("service-cidr: %w", err)
	}
	first := services[0].Masked().Addr().Next()
	result.apiService = first.String()
	tenth := first
	for range 9 {
		tenth = tenth.Next()
	}
	result.dns = told.Text("cluster-dns", tenth.String())
	return result, nil
}

// One network, or one of each family with a comma between: the first is what the cluster prefers.
func prefixes(text string) ([]netip.Prefix, error) {
	var result []netip.Prefix
	for _, one := range strings.Split(text, ",") {
		prefix, err := netip.ParsePrefix(one)
		if err != nil {
			return nil, err
		}
		result = append(result, prefix)
	}
	return result, nil
}

// A cluster that was founded without a token has one that its first server made up.
func (s *Server) readTokens() error {
	given, err := s.config.Secret("token")
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	if given == "" {
		given = strings.TrimSpace(string(readFile(paths.Server + "/token")))
	}
	if given == "" {
		if s.config.Text("server", "") != "" {
			return errors.New("a server that joins needs the token (token, token-file) of the servers")
		}
		given = token.Random()
	}
	if s.shownToken, err = token.Parse(given); err != nil {
		return err
	}
	s.token = s.shownToken.Secret
	agents, err := s.config.Secret("agent-token")
	if err != nil {
		return fmt.Errorf("agent-token: %w", err)
	}
	parsed, err := token.Parse(agents)
	if err != nil {
		return err
	}
	s.agentToken = parsed.Secret
	if s.agentToken == "" {
		s.agentToken = s.token
	}
	return nil
}

// Failed delivers an error when a part of this server that runs in this process ends.
func (s *Server) Failed() <-chan error { return s.failed }

// CloseFront lets go of everybody who watches: the API server would wait for them when it is told to end.
func (s *Server) CloseFront() {
	if front := s.front.Load(); front != nil {
		_ = front.Close()
	}
}

// Close ends the datastore; the programs that use it have ended by then.
func (s *Server) Close() {
	s.close()
	s.kine.Wait()
	if s.etcd != nil {
		s.etcd.server.Close()
	}
}

// Start brings the control plane up and returns when its API answers.
func (s *Server) Start(ctx context.Context) error {
	for _, folder := range []string{paths.Server, paths.TLS, paths.EtcdTLS, paths.Cred, paths.Logs} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
	}
	// Whoever made it before.
	if err := os.Chmod(paths.Server, 0o700); err != nil {
		return err
	}
	if err := s.startDatastore(ctx); err != nil {
		return err
	}
	if err := s.reconcileBootstrap(ctx); err != nil {
		return err
	}
	if err := s.ensureAuthorities(); err != nil {
		return err
	}
	if err := s.ensureCertificates(); err != nil {
		return err
	}
	if err := s.writeTokens(); err != nil {
		return err
	}
	client, err := kube.Client(kubeconfig("supervisor"))
	if err != nil {
		return err
	}
	s.client = client
	if s.etcd != nil {
		go s.etcd.promoteLearners(ctx)
	}
	if err := s.startFront(); err != nil {
		return err
	}
	if err := s.startAPIServer(ctx); err != nil {
		return err
	}
	if err := s.startControllers(); err != nil {
		return err
	}
	if err := s.writeAdminKubeconfig(); err != nil {
		return err
	}
	s.ready.Store(true)
	if err := s.writeManifests(); err != nil {
		return err
	}
	go s.deployManifests(ctx)
	go s.labelNode(ctx)
	if s.etcd != nil {
		go s.removeMembersOfDeletedNodes(ctx)
	}
	logrus.Info("k3s is up and running")
	return nil
}

// What all servers share, made on this one unless it is there.
func (s *Server) makeShared() error {
	if err := s.ensureAuthorities(); err != nil {
		return err
	}
	if !s.config.Is("secrets-encryption") {
		return nil
	}
	return ensureEncryption(s.config.Text("secrets-encryption-provider", "aescbc"))
}

// For people: the tokens in the form that holds a node to this cluster's CA.
func (s *Server) writeTokens() error {
	ca := s.ca["server-ca"].PEM
	for name, text := range map[string]string{
		"token":       token.Full(ca, join.ServerUser, s.token),
		"agent-token": token.Full(ca, join.NodeUser, s.agentToken),
	} {
		if err := pki.Write(paths.Server+"/"+name, []byte(text+"\n")); err != nil {
			return err
		}
	}
	link := paths.Server + "/node-token"
	_ = os.Remove(link)
	return os.Symlink(paths.Server+"/token", link)
}
