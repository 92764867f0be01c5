package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/sirupsen/logrus"
	"github.com/vishvananda/netlink"
	"k8s.io/component-base/version"

	"edge/lab/kubernetes/k3s/internal/agent"
	"edge/lab/kubernetes/k3s/internal/child"
	"edge/lab/kubernetes/k3s/internal/config"
	"edge/lab/kubernetes/k3s/internal/paths"
	"edge/lab/kubernetes/k3s/internal/server"
)

// Runs `k3s server` or `k3s agent` until it is told to end, or one of its parts ends by itself. Its error is in the log.
func runNode(command string, arguments []string) error {
	// For this process alone: some of the programs that it starts would speak for it too early.
	notifySocket := os.Getenv("NOTIFY_SOCKET")
	_ = os.Unsetenv("NOTIFY_SOCKET")
	logrus.SetFormatter(&logrus.TextFormatter{DisableColors: true, FullTimestamp: true})
	told, err := config.Load(config.RoleOf(command), paths.Config, paths.ConfigDir, arguments)
	if err != nil {
		return fatal(err)
	}
	if told.Is("debug") {
		logrus.SetLevel(logrus.DebugLevel)
	}
	logrus.Infof("Starting k3s %s (the lab's stand-in)", version.Get().GitVersion)
	for _, instead := range told.StandIns() {
		logrus.Warn(instead)
	}
	name, address, err := identity(told)
	if err != nil {
		return fatal(err)
	}
	if err := agent.LinkPrograms(); err != nil {
		return fatal(err)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	children := child.NewGroup()
	var inProcess <-chan error
	closeFront := func() {}
	node := agent.New(told, children, name, address)
	started := make(chan error, 1)
	if command == "server" {
		control, err := server.New(told, children, name, address)
		if err != nil {
			return fatal(err)
		}
		defer control.Close()
		inProcess, closeFront = control.Failed(), control.CloseFront
		go func() { started <- startServer(ctx, told, control, node, notifySocket) }()
	} else {
		go func() { started <- node.StartAlone(ctx) }()
	}
	defer children.Stop()
	defer func() { closeFront() }()
	for {
		select {
		case err := <-started:
			if err != nil && ctx.Err() == nil {
				return fatal(err)
			}
		case err := <-children.Failed():
			return shutdown(err)
		case err := <-inProcess:
			return shutdown(err)
		case err := <-node.Failed():
			return shutdown(err)
		case <-ctx.Done():
			logrus.Info("Ending")
			return nil
		}
	}
}

// Both say why this process ends before its programs are stopped, as K3s does: what they write while they stop comes
// after the reason in the journal, and nothing repeats it at the end.
func fatal(err error) error {
	logrus.StandardLogger().Logf(logrus.FatalLevel, "Error: %v", err)
	return err
}

func shutdown(err error) error {
	logrus.Errorf("Shutdown request received: %v", err)
	return err
}

func startServer(ctx context.Context, told *config.Config, control *server.Server, node *agent.Agent, notify string) error {
	if err := control.Start(ctx); err != nil {
		return err
	}
	if err := notifyReady(notify); err != nil {
		return err
	}
	if told.Is("disable-agent") {
		return nil
	}
	return node.StartBesideServer(ctx, control.AdmitNode)
}

// Tells systemd that a unit of Type=notify is up.
func notifyReady(path string) error {
	if path == "" {
		return nil
	}
	if strings.HasPrefix(path, "@") {
		path = "\x00" + path[1:]
	}
	socket, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer socket.Close()
	_, err = socket.Write([]byte("READY=1"))
	return err
}

// The node's name and its address, the first where it has one of each family: as it is told, or the host's name and the
// address beside its default route.
func identity(told *config.Config) (name, address string, err error) {
	host, err := os.Hostname()
	if err != nil {
		return "", "", err
	}
	name = strings.ToLower(told.Text("node-name", host))
	if addresses := strings.Split(told.Text("node-ip", ""), ","); addresses[0] != "" {
		for _, address := range addresses {
			if net.ParseIP(address) == nil {
				return "", "", fmt.Errorf("node-ip: %q is not an address", address)
			}
		}
		return name, addresses[0], nil
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return "", "", err
	}
	for _, route := range routes {
		if route.Dst != nil && route.Dst.String() != "0.0.0.0/0" {
			continue
		}
		link, err := netlink.LinkByIndex(route.LinkIndex)
		if err != nil {
			return "", "", err
		}
		addresses, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			return "", "", err
		}
		if len(addresses) > 0 {
			return name, addresses[0].IP.String(), nil
		}
	}
	return "", "", errors.New("no default route: it says which address is this node's, where node-ip does not")
}
