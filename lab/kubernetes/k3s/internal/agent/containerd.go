package agent

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/sirupsen/logrus"

	"edge/lab/kubernetes/k3s/internal/paths"
	"edge/lab/kubernetes/k3s/internal/pki"
)

const pauseImage = "docker.io/rancher/mirrored-pause:3.6"

// The host's programs that K3s would bring along. They are run below K3s' folder, where K3s' own would be.
var hostPrograms = []string{"containerd", "containerd-shim-runc-v2", "runc"}

// Where a host of the lab keeps the other programs that K3s brings along: none of them is on its PATH.
const bundledTools = "/usr/lib/edge-lab/k3s-aux"

// HostProgram finds a program of the host; never the link to this one that may be earlier on the path.
func HostProgram(name string) (string, error) {
	for _, folder := range []string{"/usr/bin", "/usr/sbin", "/bin", "/sbin"} {
		path := filepath.Join(folder, name)
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not on this host: the lab's k3s uses the distribution's", name)
}

func (a *Agent) startContainerd(ctx context.Context) error {
	hosts := filepath.Join(paths.AgentEtc, "containerd", "certs.d")
	logins, err := writeRegistries(paths.Registries, hosts)
	if err != nil {
		return err
	}
	config := filepath.Join(paths.AgentEtc, "containerd", "config.toml")
	if err := pki.Write(config, []byte(containerdConfig(hosts)+logins)); err != nil {
		return err
	}
	for _, folder := range []string{paths.ContainerdRun, paths.CNIConfig, agentPath("containerd")} {
		if err := os.MkdirAll(folder, 0o711); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(filepath.Join(agentPath("containerd"), "containerd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	begun, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	command := exec.Command(filepath.Join(paths.Bin, "containerd"), "--config", config)
	command.Stdout, command.Stderr = log, log
	logrus.Infof("Running containerd --config %s; its log is %s", config, log.Name())
	if err := a.children.Start("containerd", command); err != nil {
		return err
	}
	err = waitFor(ctx, "containerd", time.Minute, func() bool {
		connection, err := net.Dial("unix", paths.ContainerdSock)
		if err == nil {
			_ = connection.Close()
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	return criLoaded(log.Name(), begun)
}

// A containerd that could not load the part for Kubernetes serves all the same, and only its log says why.
func criLoaded(log string, begun int64) error {
	content, err := os.ReadFile(log)
	if err != nil {
		return err
	}
	for _, line := range strings.Split(string(content[min(begun, int64(len(content))):]), "\n") {
		if _, reason, ok := strings.Cut(line, `failed to load plugin io.containerd.grpc.v1.cri" error=`); ok {
			return fmt.Errorf("containerd runs without its part for Kubernetes: %s", reason)
		}
	}
	return nil
}

// LinkPrograms puts the programs that K3s brings along where K3s' own would be, and on the path of all that is started:
// containerd, ipset and the like before the host's, iptables after them, so that it serves where the host has none.
func LinkPrograms() error {
	if err := os.MkdirAll(paths.Aux, 0o755); err != nil {
		return err
	}
	for _, name := range hostPrograms {
		program, err := HostProgram(name)
		if err != nil {
			return err
		}
		link := filepath.Join(paths.Bin, name)
		_ = os.Remove(link)
		if err := os.Symlink(program, link); err != nil {
			return err
		}
	}
	tools, err := filepath.Glob(filepath.Join(bundledTools, "*"))
	if err != nil {
		return err
	}
	for _, tool := range tools {
		folder := paths.Aux
		if filepath.Base(tool) == "ipset" {
			folder = paths.Bin
		}
		link := filepath.Join(folder, filepath.Base(tool))
		_ = os.Remove(link)
		if err := os.Symlink(tool, link); err != nil {
			return err
		}
	}
	return os.Setenv("PATH", strings.Join([]string{paths.Bin, os.Getenv("PATH"), paths.Aux}, ":"))
}

// restrict_oom_score_adj: root in a lab's namespaces may not lower a process's score; on a machine it changes nothing
// that a test looks at.
func containerdConfig(hosts string) string {
	return fmt.Sprintf(`version = 2
root = %q
state = %q

[grpc]
  address = %q

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %q
  restrict_oom_score_adj = true
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "10010"

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = %q
  conf_dir = %q

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = %q
`, agentPath("containerd"), paths.ContainerdRun, paths.ContainerdSock, pauseImage, paths.CNIBin, paths.CNIConfig, hosts)
}

// Every archive of images beside K3s goes into containerd before the first pod may want one.
func (a *Agent) importImages(ctx context.Context) error {
	files, err := filepath.Glob(filepath.Join(paths.Images, "*.tar*"))
	if err != nil {
		return err
	}
	for _, path := range files {
		started := time.Now()
		if err := importImage(ctx, path); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		logrus.Infof("Imported images from %s in %s", path, time.Since(started).Round(time.Millisecond))
	}
	return nil
}

func importImage(ctx context.Context, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	var archive io.Reader = file
	if strings.HasSuffix(path, ".zst") {
		decoder, err := zstd.NewReader(file)
		if err != nil {
			return err
		}
		defer decoder.Close()
		archive = decoder
	}
	ctr, err := HostProgram("ctr")
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, ctr, "--address", paths.ContainerdSock, "--namespace", "k8s.io", "images", "import", "-")
	command.Stdin = archive
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(said)))
	}
	return nil
}
