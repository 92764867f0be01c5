package agent

import (
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/sirupsen/logrus"
	"gopkg.in/yaml.v3"

	"edge/lab/kubernetes/k3s/internal/pki"
)

type registries struct {
	Mirrors map[string]struct {
		Endpoint []string          `yaml:"endpoint"`
		Rewrite  map[string]string `yaml:"rewrite"`
	} `yaml:"mirrors"`
	// By host and port.
	Configs map[string]struct {
		Auth *struct {
			Username string `yaml:"username"`
			Password string `yaml:"password"`
		} `yaml:"auth"`
		TLS struct {
			CAFile string `yaml:"ca_file"`
		} `yaml:"tls"`
	} `yaml:"configs"`
}

// K3s' registries.yaml in the form that containerd reads: a folder with mirrors and authorities and, returned, the part
// of its configuration that has the logins.
func writeRegistries(told, folder string) (string, error) {
	if err := os.RemoveAll(folder); err != nil {
		return "", err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	file, err := os.Open(told)
	if os.IsNotExist(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer file.Close()
	known := registries{}
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	if err := decoder.Decode(&known); err != nil && err != io.EOF {
		return "", fmt.Errorf("%s: the lab's k3s does not know that: %w", told, err)
	}
	for _, registry := range slices.Sorted(maps.Keys(known.Mirrors)) {
		mirror := known.Mirrors[registry]
		if len(mirror.Rewrite) > 0 {
			logrus.Warnf("registries.yaml: %s: in the lab, paths of images are not rewritten", registry)
		}
		// Inline tables: this containerd refuses a bracket in the name of a table, and IPv6 addresses have them.
		text := "[host]\n"
		for _, endpoint := range mirror.Endpoint {
			at, err := url.Parse(endpoint)
			if err != nil {
				return "", fmt.Errorf("%s: %w", told, err)
			}
			settings := `capabilities = ["pull", "resolve"]`
			if authority := known.Configs[at.Host].TLS.CAFile; authority != "" {
				settings += fmt.Sprintf(", ca = [%q]", authority)
			}
			text += fmt.Sprintf("%q = {%s}\n", endpoint, settings)
		}
		name := registry
		if name == "*" {
			name = "_default"
		}
		if err := pki.Write(filepath.Join(folder, name, "hosts.toml"), []byte(text)); err != nil {
			return "", err
		}
	}
	logins := ""
	for _, host := range slices.Sorted(maps.Keys(known.Configs)) {
		if auth := known.Configs[host].Auth; auth != nil {
			if logins == "" {
				logins = "\n[plugins.\"io.containerd.grpc.v1.cri\".registry.configs]\n"
			}
			logins += fmt.Sprintf("%q = {auth = {username = %q, password = %q}}\n", host, auth.Username, auth.Password)
		}
	}
	return logins, nil
}
