package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/sirupsen/logrus"

	"edge/lab/kubernetes/k3s/internal/paths"
	"edge/lab/kubernetes/k3s/internal/pki"
)

//go:embed coredns.yaml
var corednsManifest string

//go:embed local-storage.yaml
var localStorageManifest string

//go:embed rolebindings.yaml
var roleBindingsManifest string

func (s *Server) writeManifests() error {
	for name, manifest := range map[string]string{
		"coredns": corednsManifest, "local-storage": localStorageManifest, "rolebindings": roleBindingsManifest,
	} {
		if err := s.writeManifest(name, manifest); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) writeManifest(name, manifest string) error {
	path := filepath.Join(paths.Manifests, name+".yaml")
	if slices.Contains(s.config.List("disable"), name) {
		_ = os.Remove(path)
		return os.MkdirAll(paths.Manifests, 0o700)
	}
	rendered := &bytes.Buffer{}
	err := template.Must(template.New(name).Parse(manifest)).Execute(rendered, map[string]any{
		"Address": s.network.dns,
		// Without one there is nowhere to ask for names outside the cluster.
		"Forward": HasResolver(),
	})
	if err != nil {
		return err
	}
	return pki.Write(path, rendered.Bytes())
}

// HasResolver says whether this host knows a DNS server that pods can reach as well.
func HasResolver() bool {
	for _, line := range strings.Split(string(readFile("/etc/resolv.conf")), "\n") {
		words := strings.Fields(line)
		if len(words) > 1 && words[0] == "nameserver" && !strings.HasPrefix(words[1], "127.") && words[1] != "::1" {
			return true
		}
	}
	return false
}

// Applies what lies in server/manifests, and again what changes there.
func (s *Server) deployManifests(ctx context.Context) {
	applied := map[string][sha256.Size]byte{}
	for ctx.Err() == nil {
		files, _ := filepath.Glob(filepath.Join(paths.Manifests, "*.yaml"))
		for _, path := range files {
			content, err := os.ReadFile(path)
			if err != nil {
				continue
			}
			sum := sha256.Sum256(content)
			if applied[path] == sum {
				continue
			}
			if said, err := s.apply(ctx, path); err != nil {
				logrus.Warnf("%s is not applied yet: %v: %s", path, err, bytes.TrimSpace(said))
				continue
			}
			logrus.Infof("Applied manifest %s", path)
			applied[path] = sum
		}
		select {
		case <-ctx.Done():
		case <-time.After(3 * time.Second):
		}
	}
}

func (s *Server) apply(ctx context.Context, path string) ([]byte, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	command := exec.CommandContext(limited, self, "kubectl", "--kubeconfig", kubeconfig("supervisor"), "apply",
		"--server-side", "--force-conflicts", "--field-manager", "k3s", "--filename", path)
	return command.CombinedOutput()
}
