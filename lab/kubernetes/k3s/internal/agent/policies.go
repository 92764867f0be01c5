package agent

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/cloudnativelabs/kube-router/v2/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/v2/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/v2/pkg/options"
	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// NetworkPolicies are enforced by the controller that K3s has too. A kernel or a host without ipset is a warning and no
// more, as there: every policy is stored and none is in force.
func (a *Agent) enforcePolicies(ctx context.Context, client kubernetes.Interface) {
	if err := a.waitForAddress(ctx, client); err != nil {
		return
	}
	config := options.NewKubeRouterConfig()
	config.EnableIPv4, config.EnableIPv6 = false, false
	config.RunFirewall, config.RunRouter, config.RunServiceProxy = true, false, false
	config.ClusterIPCIDRs = strings.Split(a.cluster.ServiceCIDR, ",")
	families := []corev1.IPFamily{}
	for _, network := range config.ClusterIPCIDRs {
		if isIPv6(network) {
			config.EnableIPv6, families = true, append(families, corev1.IPv6Protocol)
		} else {
			config.EnableIPv4, families = true, append(families, corev1.IPv4Protocol)
		}
	}
	config.HostnameOverride = a.name
	config.IPTablesSyncPeriod = 5 * time.Minute
	iptables, ipsets, err := netpol.NewIPTablesHandlers(config)
	for _, family := range families {
		if err == nil {
			err = ipsets[family].Save()
		}
	}
	if err != nil {
		logrus.Warnf("Skipping network policy controller start, ipset unavailable: %v", err)
		return
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	pods, policies := factory.Core().V1().Pods().Informer(), factory.Networking().V1().NetworkPolicies().Informer()
	namespaces := factory.Core().V1().Namespaces().Informer()
	mutex := &sync.Mutex{}
	controller, err := netpol.NewNetworkPolicyController(client, config, pods, policies, namespaces, mutex, iptables, ipsets)
	if err != nil {
		logrus.Errorf("Network policy controller: %v", err)
		return
	}
	for informer, handler := range map[cache.SharedIndexInformer]cache.ResourceEventHandler{
		pods: controller.PodEventHandler, policies: controller.NetworkPolicyEventHandler,
		namespaces: controller.NamespaceEventHandler,
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			logrus.Errorf("Network policy controller: %v", err)
			return
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	logrus.Info("Starting network policy controller")
	beats := make(chan *healthcheck.ControllerHeartbeat, 10)
	go func() {
		for range beats {
		}
	}()
	running := &sync.WaitGroup{}
	running.Add(1)
	controller.Run(beats, ctx.Done(), running)
}

// The controller asks its own Node for its address once, when it is made.
func (a *Agent) waitForAddress(ctx context.Context, client kubernetes.Interface) error {
	for {
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		node, err := client.CoreV1().Nodes().Get(limited, a.name, metav1.GetOptions{})
		cancel()
		if err == nil && len(internalAddresses(*node)) > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
