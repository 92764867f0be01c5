// Package join is what nodes and servers say to each other before the Kubernetes API is theirs to use. Its paths and
// messages are the lab's own: all nodes of a cluster run this program.
package join

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"edge/lab/kubernetes/k3s/internal/token"
)

// Paths on port 6443 that are not Kubernetes' own.
const (
	CAPath        = "/cacerts"
	PingPath      = "/ping"
	NodePath      = "/v1-k3s/node"
	BootstrapPath = "/v1-k3s/server-bootstrap"
	EtcdPath      = "/v1-k3s/etcd-join"
)

// Users of the two tokens.
const (
	NodeUser   = "node"
	ServerUser = "server"
)

// Names of the certificates that a node asks for.
const (
	ServingKubelet   = "serving-kubelet"
	ClientKubelet    = "client-kubelet"
	ClientKubeProxy  = "client-kube-proxy"
	ClientController = "client-k3s-controller"
)

// NodeCertificates are all of them.
var NodeCertificates = []string{ServingKubelet, ClientKubelet, ClientKubeProxy, ClientController}

// NodeRequest is a node's wish to be one, or to go on being one.
type NodeRequest struct {
	Node     string
	Password string
	Address  string
	// Requests are certificate requests in PEM, by name.
	Requests map[string][]byte
}

// NodeReply is what a node needs to know of the cluster.
type NodeReply struct {
	ServerCA     []byte
	ClientCA     []byte
	Certificates map[string][]byte
	ClusterCIDR  string
	ServiceCIDR  string
	ClusterDNS   string
	// FlannelBackend is the servers' choice for all nodes.
	FlannelBackend string
	// FlannelIPv6Masq is whether pods leave the cluster with the IPv6 address of their node.
	FlannelIPv6Masq bool
}

// Bootstrap is what all servers of a cluster share.
type Bootstrap struct {
	// Files by their path below the server's folder: CAs with their keys, the key of service accounts, encryption.
	Files map[string][]byte
	// Settings must be the same on all servers.
	Settings map[string]string
}

// EtcdRequest is a server's wish to become a member.
type EtcdRequest struct {
	Node    string
	Name    string
	PeerURL string
}

// EtcdReply tells a member of the others.
type EtcdReply struct {
	// InitialCluster is in etcd's form: name=URL,name=URL.
	InitialCluster string
}

// Client talks to one server, whose CA it has checked as far as the token says.
type Client struct {
	server string
	user   string
	secret string
	http   *http.Client
}

// Dial fetches the CA of a server and holds it to the token.
func Dial(ctx context.Context, server, user string, shown token.Token) (*Client, error) {
	if shown.User != "" {
		user = shown.User
	}
	// Nothing is believed yet: the CA says for itself whether it is the one that the token names.
	blind := &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(server, "/")+CAPath, nil)
	if err != nil {
		return nil, err
	}
	response, err := blind.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	ca, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s%s: %s %w", server, CAPath, response.Status, err)
	}
	if err := shown.Trusts(ca); err != nil {
		return nil, Refused{err.Error()}
	}
	if shown.Hash == "" {
		logrus.Warn("Cluster CA certificate is not trusted by the host CA bundle, but the token does not include a CA hash. " +
			"Use the full token from the server's node-token file to enable Cluster CA validation.")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s%s: no certificate", server, CAPath)
	}
	return &Client{
		server: strings.TrimRight(server, "/"), user: user, secret: shown.Secret,
		http: &http.Client{
			Timeout:   60 * time.Second,
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true},
		},
	}, nil
}

// Refused is a server's no, which asking again will not change.
type Refused struct{ Reason string }

func (r Refused) Error() string { return r.Reason }

// Ask sends a request as JSON and fills the reply.
func (c *Client) Ask(ctx context.Context, path string, body, reply any) error {
	content, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.server+path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	request.SetBasicAuth(c.user, c.secret)
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	switch response.StatusCode {
	case http.StatusOK:
		return json.Unmarshal(said, reply)
	case http.StatusUnauthorized:
		return Refused{fmt.Sprintf("%s%s: not authorized", c.server, path)}
	case http.StatusForbidden, http.StatusConflict:
		return Refused{fmt.Sprintf("%s%s: %s", c.server, path, strings.TrimSpace(string(said)))}
	}
	return fmt.Errorf("%s%s: %s: %s", c.server, path, response.Status, strings.TrimSpace(string(said)))
}

// Until asks again, every few seconds, until the answer is yes or a Refused, or the context ends.
func Until(ctx context.Context, ask func() error, waiting func(error)) error {
	return until(ctx, ask, waiting, func(err error) bool {
		var refused Refused
		return errors.As(err, &refused)
	})
}

// UntilYes asks again, whatever the answer is, until it is yes or the context ends.
func UntilYes(ctx context.Context, ask func() error, waiting func(error)) error {
	return until(ctx, ask, waiting, func(error) bool { return false })
}

func until(ctx context.Context, ask func() error, waiting func(error), final func(error) bool) error {
	for {
		err := ask()
		if err == nil || final(err) {
			return err
		}
		waiting(err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Second):
		}
	}
}
