package pki

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestACertificateIsKeptUntilItsHostsOrItsCAChange(t *testing.T) {
	dir := t.TempDir()
	ca, err := EnsureCA(filepath.Join(dir, "ca"), "ca")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "leaf")
	made := func(ca *CA, hosts ...string) []byte {
		if err := ca.Ensure(path, Subject{Name: "leaf", Hosts: hosts}); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path + ".crt")
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	first := made(ca, "a")
	if !bytes.Equal(first, made(ca, "a")) {
		t.Error("a good certificate was made again")
	}
	second := made(ca, "a", "10.0.0.1")
	if bytes.Equal(first, second) {
		t.Error("a new host is not in the certificate")
	}
	another, err := EnsureCA(filepath.Join(dir, "another"), "ca")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(second, made(another, "a", "10.0.0.1")) {
		t.Error("a certificate of another CA was kept")
	}
}

func TestASignersSubjectCounts(t *testing.T) {
	dir := t.TempDir()
	ca, err := EnsureCA(filepath.Join(dir, "ca"), "ca")
	if err != nil {
		t.Fatal(err)
	}
	request, err := EnsureRequest(filepath.Join(dir, "node"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := ca.Sign(request, Subject{Name: "system:node:a", Groups: []string{"system:nodes"}})
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := parseCertificate(signed)
	if err != nil {
		t.Fatal(err)
	}
	if got := certificate.Subject.String(); got != "CN=system:node:a,O=system:nodes" {
		t.Errorf("got %s", got)
	}
}
