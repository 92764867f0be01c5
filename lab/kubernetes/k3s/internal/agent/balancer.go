package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/lab/kubernetes/k3s/internal/kube"
	"edge/lab/kubernetes/k3s/internal/paths"
	"edge/lab/kubernetes/k3s/internal/pki"
)

const balancerAddress = "127.0.0.1:6444"

// An agent reaches the API through a port of its own, behind which any server of the cluster may answer: the one that it
// was told of, and those that it has learned of since.
type balancer struct {
	mutex   sync.Mutex
	told    string
	learned []string
}

func balancerFile() string { return filepath.Join(paths.AgentEtc, "k3s-agent-load-balancer.json") }

func startBalancer(ctx context.Context, server string) (*balancer, error) {
	parsed, err := url.Parse(server)
	if err != nil || parsed.Scheme != "https" || parsed.Hostname() == "" {
		return nil, fmt.Errorf("server: expected https://ADDRESS:6443, not %q", server)
	}
	port := parsed.Port()
	if port == "" {
		port = "443"
	}
	b := &balancer{told: net.JoinHostPort(parsed.Hostname(), port)}
	if content, err := os.ReadFile(balancerFile()); err == nil {
		_ = json.Unmarshal(content, &b.learned)
	}
	listener, err := net.Listen("tcp", balancerAddress)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			accepted, err := listener.Accept()
			if err != nil {
				return
			}
			go b.serve(ctx, accepted)
		}
	}()
	return b, nil
}

func (b *balancer) url() string { return "https://" + balancerAddress }

func (b *balancer) servers() []string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	result := []string{b.told}
	for _, server := range b.learned {
		if server != b.told {
			result = append(result, server)
		}
	}
	return result
}

func (b *balancer) serve(ctx context.Context, accepted net.Conn) {
	defer accepted.Close()
	for _, server := range b.servers() {
		dialer := net.Dialer{Timeout: 3 * time.Second, KeepAlive: 10 * time.Second}
		connection, err := dialer.DialContext(ctx, "tcp", server)
		if err != nil {
			continue
		}
		defer connection.Close()
		done := make(chan struct{}, 2)
		for _, pair := range [][2]net.Conn{{connection, accepted}, {accepted, connection}} {
			go func() {
				_, _ = io.Copy(pair[0], pair[1])
				done <- struct{}{}
			}()
		}
		select {
		case <-done:
		case <-ctx.Done():
		}
		return
	}
}

// Learns the servers from the API itself.
func (b *balancer) follow(ctx context.Context, kubeconfig string) {
	client, err := kube.Client(kubeconfig)
	if err != nil {
		logrus.Warnf("Servers of the cluster: %v", err)
		return
	}
	for ctx.Err() == nil {
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		found, err := client.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).Get(limited, "kubernetes", metav1.GetOptions{})
		cancel()
		if err == nil && len(found.Ports) == 1 {
			servers := []string{}
			for _, endpoint := range found.Endpoints {
				for _, address := range endpoint.Addresses {
					servers = append(servers, net.JoinHostPort(address, fmt.Sprint(*found.Ports[0].Port)))
				}
			}
			slices.Sort(servers)
			b.learn(servers)
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		}
	}
}

func (b *balancer) learn(servers []string) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if len(servers) == 0 || slices.Equal(servers, b.learned) {
		return
	}
	b.learned = servers
	logrus.Infof("Servers of the cluster: %v", servers)
	if content, err := json.Marshal(servers); err == nil {
		_ = pki.Write(balancerFile(), content)
	}
}
