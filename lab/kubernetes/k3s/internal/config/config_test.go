package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
)

func load(t *testing.T, role role, file string, folder map[string]string, arguments ...string) (*Config, error) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "config.yaml")
	write(t, path, file)
	for name, content := range folder {
		write(t, filepath.Join(dir, "config.yaml.d", name), content)
	}
	return Load(role, path, filepath.Join(dir, "config.yaml.d"), arguments)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestALaterFileAndThenTheCommandLineWin(t *testing.T) {
	config, err := load(t, Server, "node-name: a\nnode-ip: 10.0.0.1\ntls-san: [x]\n",
		map[string]string{"20-join.yaml": "server: https://b:6443\nnode-ip: 10.0.0.2\n", "30.yaml": "tls-san+: [y]\n"},
		"--node-name=c", "--disable", "traefik")
	if err != nil {
		t.Fatal(err)
	}
	for name, wanted := range map[string]string{"node-name": "c", "node-ip": "10.0.0.2", "server": "https://b:6443"} {
		if got := config.Text(name, ""); got != wanted {
			t.Errorf("%s is %q, expected %q", name, got, wanted)
		}
	}
	if got := config.List("tls-san"); !slices.Equal(got, []string{"x", "y"}) {
		t.Errorf("tls-san is %v: a key that ends in + adds", got)
	}
}

func TestAModeIsTakenAsItIsWritten(t *testing.T) {
	config, err := load(t, Server, "write-kubeconfig-mode: 0600\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Text("write-kubeconfig-mode", ""); got != "0600" {
		t.Errorf("got %q", got)
	}
}

func TestAFlagOfAProgramKeepsItsCommas(t *testing.T) {
	config, err := load(t, Agent, "kubelet-arg:\n- tls-cipher-suites=A,B\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := config.List("kubelet-arg"); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestAnUnknownKeyIsAWarningAndHasNoEffect(t *testing.T) {
	said := &strings.Builder{}
	logrus.SetOutput(said)
	defer logrus.SetOutput(os.Stderr)
	config, err := load(t, Agent, "helm-job-image: x\ncluster-cidr: 10.0.0.0/8\nnode-name: a\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Text("node-name", ""); got != "a" {
		t.Errorf("node-name is %q", got)
	}
	for _, unknown := range []string{"helm-job-image", "cluster-cidr"} {
		if wanted := "Unknown flag --" + unknown + " found in config.yaml, skipping"; !strings.Contains(said.String(), wanted) {
			t.Errorf("%q does not say %q", said, wanted)
		}
	}
}

func TestWhatCannotBeMeantIsRefused(t *testing.T) {
	for name, refused := range map[string]struct {
		role      role
		file      string
		arguments []string
		said      []string
	}{
		"flag":      {Server, "", []string{"--rootless"}, []string{"flag provided but not defined: -rootless"}},
		"server's":  {Agent, "", []string{"--cluster-cidr=10.0.0.0/8"}, []string{"not defined: -cluster-cidr"}},
		"not bool":  {Server, "cluster-init: maybe\n", nil, []string{"true or false"}},
		"two":       {Server, "node-name: [a, b]\n", nil, []string{"takes one value"}},
		"map":       {Server, "tls-san: {a: b}\n", nil, []string{"neither a value"}},
		"no value":  {Server, "", []string{"--node-name"}, []string{"needs a value"}},
		"positonal": {Server, "", []string{"x"}, []string{"unexpected argument"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, refused.role, refused.file, nil, refused.arguments...)
			if err == nil {
				t.Fatal("it was accepted")
			}
			for _, part := range refused.said {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

func TestWhatTheLabStandsInForIsSaid(t *testing.T) {
	config, err := load(t, Server, "flannel-backend: wireguard-native\nembedded-registry: false\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	if said := config.StandIns(); len(said) != 1 || !strings.Contains(said[0], "wireguard-native") {
		t.Errorf("got %v", said)
	}
}
