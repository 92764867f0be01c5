// Package agent runs a node: containerd, the kubelet, kube-proxy, and what joins the pods of all nodes into one network.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"edge/lab/kubernetes/k3s/internal/child"
	"edge/lab/kubernetes/k3s/internal/config"
	"edge/lab/kubernetes/k3s/internal/join"
	"edge/lab/kubernetes/k3s/internal/kube"
	"edge/lab/kubernetes/k3s/internal/paths"
	"edge/lab/kubernetes/k3s/internal/pki"
	"edge/lab/kubernetes/k3s/internal/token"
)

// Agent is the node of one host.
type Agent struct {
	config   *config.Config
	children *child.Group
	name     string
	address  string
	// api is where this node's programs reach the Kubernetes API.
	api     string
	cluster join.NodeReply
	failed  chan error
}

// New is a node that has not started.
func New(told *config.Config, children *child.Group, name, address string) *Agent {
	return &Agent{config: told, children: children, name: name, address: address, failed: make(chan error, 4)}
}

// Failed delivers an error when a part of this node that runs in this process ends.
func (a *Agent) Failed() <-chan error { return a.failed }

// Register is how a node gets its certificates: from a server across the network, or from the one in this process.
type Register func(context.Context, join.NodeRequest) (join.NodeReply, error)

// StartBesideServer brings the node of a server up.
func (a *Agent) StartBesideServer(ctx context.Context, register Register) error {
	a.api = "https://127.0.0.1:6443"
	return a.start(ctx, register)
}

// StartAlone brings the node of an agent up; it waits for a server to answer.
func (a *Agent) StartAlone(ctx context.Context) error {
	server := a.config.Text("server", "")
	if server == "" {
		return errors.New("an agent needs the address of a server (server)")
	}
	given, err := a.config.Secret("token")
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	if given == "" {
		return errors.New("an agent needs a token (token, token-file)")
	}
	shown, err := token.Parse(given)
	if err != nil {
		return err
	}
	balancer, err := startBalancer(ctx, server)
	if err != nil {
		return err
	}
	a.api = balancer.url()
	err = a.start(ctx, func(ctx context.Context, request join.NodeRequest) (join.NodeReply, error) {
		client, err := join.Dial(ctx, a.api, join.NodeUser, shown)
		if err != nil {
			return join.NodeReply{}, err
		}
		reply := join.NodeReply{}
		return reply, client.Ask(ctx, join.NodePath, request, &reply)
	})
	if err != nil {
		return err
	}
	go balancer.follow(ctx, kubeconfig("kubeproxy"))
	return nil
}

func (a *Agent) start(ctx context.Context, register Register) error {
	if err := a.register(ctx, register); err != nil {
		return err
	}
	if err := a.startContainerd(ctx); err != nil {
		return err
	}
	if err := a.importImages(ctx); err != nil {
		return err
	}
	if err := a.startKubelet(); err != nil {
		return err
	}
	if err := a.startKubeProxy(); err != nil {
		return err
	}
	client, err := kube.Client(kubeconfig("kubeproxy"))
	if err != nil {
		return err
	}
	go a.keepNetwork(ctx, client)
	controller, err := kube.Client(kubeconfig("k3scontroller"))
	if err != nil {
		return err
	}
	go a.labelNode(ctx, controller)
	go a.enforcePolicies(ctx, controller)
	return nil
}

func (a *Agent) register(ctx context.Context, register Register) error {
	password, err := nodePassword()
	if err != nil {
		return err
	}
	request := join.NodeRequest{Node: a.name, Password: password, Address: a.address, Requests: map[string][]byte{}}
	for _, name := range join.NodeCertificates {
		if request.Requests[name], err = pki.EnsureRequest(filepath.Join(paths.Agent, name)); err != nil {
			return err
		}
	}
	// A wrong token, another CA, a taken name: K3s waits for all of them to be put right on the server.
	err = join.UntilYes(ctx, func() error {
		reply, err := register(ctx, request)
		a.cluster = reply
		return err
	}, func(err error) {
		logrus.Errorf("Waiting to retrieve agent configuration; server is not ready: %v", err)
	})
	if err != nil {
		return err
	}
	files := map[string][]byte{"server-ca": a.cluster.ServerCA, "client-ca": a.cluster.ClientCA}
	for name, certificate := range a.cluster.Certificates {
		files[name] = certificate
	}
	for name, content := range files {
		if !filepath.IsLocal(name) || strings.Contains(name, "/") {
			return fmt.Errorf("a server sent a file that does not belong there: %s", name)
		}
		if err := pki.Write(filepath.Join(paths.Agent, name+".crt"), content); err != nil {
			return err
		}
	}
	for file, certificate := range map[string]string{
		"kubelet": join.ClientKubelet, "kubeproxy": join.ClientKubeProxy, "k3scontroller": join.ClientController,
	} {
		err := kube.WriteConfig(kubeconfig(file), a.api, agentPath("server-ca.crt"), agentPath(certificate))
		if err != nil {
			return err
		}
	}
	return nil
}

func nodePassword() (string, error) {
	content, err := os.ReadFile(paths.NodePassword)
	if err == nil {
		return strings.TrimSpace(string(content)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	password := token.Random()
	return password, pki.Write(paths.NodePassword, []byte(password+"\n"))
}

func agentPath(name string) string { return filepath.Join(paths.Agent, name) }

func kubeconfig(of string) string { return agentPath(of + ".kubeconfig") }

// Waits until a condition holds, or the context or the time ends.
func waitFor(ctx context.Context, what string, limit time.Duration, holds func() bool) error {
	for deadline := time.Now().Add(limit); !holds(); {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %s", what, limit)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	return nil
}
