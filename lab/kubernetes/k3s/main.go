// The lab's k3s: upstream Kubernetes behind the command line, files and paths of K3s, as far as this project uses them.
//
// One executable is all of its programs. `k3s server` and `k3s agent` run the others as processes of their own, by their
// names: kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"k8s.io/component-base/version"

	"edge/lab/kubernetes/k3s/internal/agent"
	"edge/lab/kubernetes/k3s/internal/paths"
)

const usage = `usage: k3s server|agent [--SETTING=VALUE ...]
       k3s kubectl|ctr ...
       k3s --version

The lab's k3s: upstream Kubernetes in the shape of K3s. Settings are those of K3s that this project uses, on the command
line, in ` + paths.Config + ` and in ` + paths.ConfigDir + `; any other is refused.
`

func main() {
	name := filepath.Base(os.Args[0])
	if name == "kubectl" || name == "ctr" || name == "crictl" {
		run(name)
		return
	}
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(1)
	}
	// What follows sees its own name and its own arguments.
	os.Args = os.Args[1:]
	run(os.Args[0])
}

func run(name string) {
	if program, ok := upstream[name]; ok {
		program()
		return
	}
	switch name {
	case "server", "agent":
		if err := runNode(name, os.Args[1:]); err != nil {
			os.Exit(1)
		}
	case "ctr":
		runCtr()
	case "crictl":
		fail("crictl is not part of the lab's k3s: use `k3s ctr`")
	case "--version", "-v":
		fmt.Printf("k3s version %s (lab)\n", version.Get().GitVersion)
	case "--help", "-h", "help":
		fmt.Print(usage)
	default:
		fail(fmt.Sprintf("unknown command %q\n%s", name, usage))
	}
}

func runCtr() {
	program, err := agent.HostProgram("ctr")
	if err != nil {
		fail(err.Error())
	}
	environment := os.Environ()
	for name, value := range map[string]string{
		"CONTAINERD_ADDRESS": paths.ContainerdSock, "CONTAINERD_NAMESPACE": "k8s.io",
	} {
		if os.Getenv(name) == "" {
			environment = append(environment, name+"="+value)
		}
	}
	fail(syscall.Exec(program, append([]string{"ctr"}, os.Args[1:]...), environment).Error())
}

func fail(reason string) {
	fmt.Fprintln(os.Stderr, "k3s: "+reason)
	os.Exit(1)
}
