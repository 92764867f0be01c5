package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"edge/lab/kubernetes/k3s/internal/paths"
	"edge/lab/kubernetes/k3s/internal/pki"
)

// Marks the routes that are this program's in the kernel's table.
const routeProtocol = 99

const wireguardLink = "flannel-wg"

// The stand-in for flannel: pods of one node on a bridge, and a plain route to each other node's pods. It asks for the
// nodes every few seconds; all of them must be on one network. As in K3s, a backend that cannot start ends the node,
// which may have been ready to all who asked by then.
func (a *Agent) keepNetwork(ctx context.Context, client kubernetes.Interface) {
	said, told := "", false
	for ctx.Err() == nil {
		var failed backendFailed
		if err := a.network(ctx, client); errors.As(err, &failed) {
			a.failed <- fmt.Errorf("flannel exited: failed to register flannel network: %w", failed.reason)
			return
		} else if err != nil {
			if said != err.Error() {
				logrus.Warnf("Network of the pods: %v", err)
			}
			said = err.Error()
		} else {
			said = ""
			if !told {
				told = a.writeSubnet() == nil
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
}

func (a *Agent) network(ctx context.Context, client kubernetes.Interface) error {
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	nodes, err := client.CoreV1().Nodes().List(limited, metav1.ListOptions{})
	if err != nil {
		return err
	}
	others := map[string]net.IP{}
	var own []string
	for _, node := range nodes.Items {
		if node.Name == a.name {
			own = node.Spec.PodCIDRs
			continue
		}
		for _, network := range node.Spec.PodCIDRs {
			for _, address := range internalAddresses(node) {
				if sameFamily(network, address.String()) {
					others[network] = address
				}
			}
		}
	}
	if len(own) == 0 {
		return fmt.Errorf("%s has no network for its pods yet", a.name)
	}
	if err := a.startBackend(); err != nil {
		return backendFailed{err}
	}
	if err := a.writeCNI(own); err != nil {
		return err
	}
	for _, network := range own {
		if err := a.masquerade(network); err != nil {
			return err
		}
	}
	return keepRoutes(others)
}

// What flannel leaves each time that it has registered its network.
func (a *Agent) writeSubnet() error {
	return pki.Write("/run/flannel/subnet.env", []byte("FLANNEL_NETWORK="+a.cluster.ClusterCIDR+"\n"))
}

type backendFailed struct{ reason error }

func (b backendFailed) Error() string { return b.reason.Error() }

// What the backend needs of the kernel. Traffic does not go through it: pods reach other nodes by plain routes.
func (a *Agent) startBackend() error {
	if a.cluster.FlannelBackend != "wireguard-native" {
		return nil
	}
	if _, err := netlink.LinkByName(wireguardLink); err == nil {
		return nil
	}
	link := &netlink.Wireguard{LinkAttrs: netlink.LinkAttrs{Name: wireguardLink}}
	if err := netlink.LinkAdd(link); err != nil {
		return fmt.Errorf("could not create wireguard interface: %w", err)
	}
	return nil
}

func internalAddresses(node corev1.Node) []net.IP {
	var result []net.IP
	for _, address := range node.Status.Addresses {
		if address.Type == corev1.NodeInternalIP {
			result = append(result, net.ParseIP(address.Address))
		}
	}
	return result
}

// One range for each family that pods have.
func (a *Agent) writeCNI(podCIDRs []string) error {
	type object = map[string]any
	ranges := [][]object{}
	for _, podCIDR := range podCIDRs {
		ranges = append(ranges, []object{{"subnet": podCIDR}})
	}
	content, err := json.MarshalIndent(object{
		"cniVersion": "1.0.0",
		"name":       "cbr0",
		"plugins": []object{
			{
				"type": "bridge", "bridge": "cni0", "isGateway": true, "isDefaultGateway": true, "hairpinMode": true,
				"ipam": object{"type": "host-local", "ranges": ranges},
			},
			{"type": "portmap", "capabilities": object{"portMappings": true}},
		},
	}, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(paths.CNIConfig, "10-flannel.conflist")
	if before, err := os.ReadFile(path); err == nil && string(before) == string(content) {
		return nil
	}
	logrus.Infof("Pods of this node are in %s", strings.Join(podCIDRs, ","))
	for _, podCIDR := range podCIDRs {
		forwarding := "/proc/sys/net/ipv4/ip_forward"
		if isIPv6(podCIDR) {
			forwarding = "/proc/sys/net/ipv6/conf/all/forwarding"
		}
		if err := os.WriteFile(forwarding, []byte("1"), 0o644); err != nil {
			return err
		}
	}
	return pki.Write(path, content)
}

// Whether a network or an address is of IPv6.
func isIPv6(text string) bool { return strings.Contains(text, ":") }

func sameFamily(one, other string) bool { return isIPv6(one) == isIPv6(other) }

// Pods leave the cluster with their node's address, and reach each other with their own. As in K3s, those with IPv6
// addresses do so only where it is asked for.
func (a *Agent) masquerade(podCIDR string) error {
	cluster := ""
	for _, network := range strings.Split(a.cluster.ClusterCIDR, ",") {
		if sameFamily(network, podCIDR) {
			cluster = network
		}
	}
	iptables := func(arguments ...string) error { return runTables("iptables", arguments) }
	leaving := [][]string{{"-s", podCIDR, "!", "-d", cluster, "-j", "MASQUERADE"}}
	if isIPv6(podCIDR) {
		iptables = func(arguments ...string) error { return runTables("ip6tables", arguments) }
		if !a.cluster.FlannelIPv6Masq {
			leaving = nil
		}
	}
	for _, rules := range []struct {
		table, chain, from string
		rules              [][]string
	}{
		{"nat", "FLANNEL-POSTRTG", "POSTROUTING", leaving},
		{"filter", "FLANNEL-FWD", "FORWARD", [][]string{
			{"-s", cluster, "-j", "ACCEPT"},
			{"-d", cluster, "-j", "ACCEPT"},
		}},
	} {
		if iptables("-t", rules.table, "-n", "-L", rules.chain) != nil {
			if err := iptables("-t", rules.table, "-N", rules.chain); err != nil {
				return err
			}
		}
		for _, rule := range append(rules.rules, nil) {
			chain := rules.chain
			if rule == nil {
				chain, rule = rules.from, []string{"-j", rules.chain}
			}
			if iptables(append([]string{"-t", rules.table, "-C", chain}, rule...)...) == nil {
				continue
			}
			if err := iptables(append([]string{"-t", rules.table, "-A", chain}, rule...)...); err != nil {
				return err
			}
		}
	}
	return nil
}

func runTables(program string, arguments []string) error {
	said, err := exec.Command(program, append([]string{"-w", "10"}, arguments...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(arguments, " "), err, strings.TrimSpace(string(said)))
	}
	return nil
}

func keepRoutes(wanted map[string]net.IP) error {
	filter := &netlink.Route{Protocol: routeProtocol}
	there, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return err
	}
	for _, route := range there {
		if via, ok := wanted[route.Dst.String()]; ok && via.Equal(route.Gw) {
			delete(wanted, route.Dst.String())
			continue
		}
		if err := netlink.RouteDel(&route); err != nil {
			return err
		}
	}
	for to, via := range wanted {
		_, network, err := net.ParseCIDR(to)
		if err != nil {
			return err
		}
		if err := netlink.RouteReplace(&netlink.Route{Dst: network, Gw: via, Protocol: routeProtocol}); err != nil {
			return fmt.Errorf("route to %s through %s: %w", to, via, err)
		}
		logrus.Infof("Pods in %s are reached through %s", to, via)
	}
	return nil
}
