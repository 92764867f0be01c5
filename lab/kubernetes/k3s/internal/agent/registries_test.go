package agent

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMirrorsAuthoritiesAndLoginsAreInTheFormThatContainerdReads(t *testing.T) {
	folder := t.TempDir()
	told := filepath.Join(folder, "registries.yaml")
	text := `mirrors:
  "*":
    endpoint: ["https://10.0.0.1:5000", "https://[fd00::1]:5000"]
configs:
  "10.0.0.1:5000":
    auth: {username: edge, password: 'a "quoted" one'}
    tls: {ca_file: /etc/ca.pem}
`
	if err := os.WriteFile(told, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	logins, err := writeRegistries(told, filepath.Join(folder, "hosts"))
	if err != nil {
		t.Fatal(err)
	}
	if want := `
[plugins."io.containerd.grpc.v1.cri".registry.configs]
"10.0.0.1:5000" = {auth = {username = "edge", password = "a \"quoted\" one"}}
`; logins != want {
		t.Errorf("logins are %s, not %s", logins, want)
	}
	hosts, err := os.ReadFile(filepath.Join(folder, "hosts", "_default", "hosts.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if want := `[host]
"https://10.0.0.1:5000" = {capabilities = ["pull", "resolve"], ca = ["/etc/ca.pem"]}
"https://[fd00::1]:5000" = {capabilities = ["pull", "resolve"]}
`; string(hosts) != want {
		t.Errorf("hosts.toml is %s, not %s", hosts, want)
	}
}

func TestWithoutRegistriesThereIsNoLogin(t *testing.T) {
	folder := t.TempDir()
	logins, err := writeRegistries(filepath.Join(folder, "none.yaml"), filepath.Join(folder, "hosts"))
	if logins != "" || err != nil {
		t.Errorf("%q, %v", logins, err)
	}
}
