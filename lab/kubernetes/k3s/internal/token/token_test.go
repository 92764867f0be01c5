package token

import "testing"

func TestAFullTokenTrustsOneCAOnly(t *testing.T) {
	parsed, err := Parse(Full([]byte("ca"), "server", "secret"))
	if err != nil || parsed.User != "server" || parsed.Secret != "secret" {
		t.Fatal(parsed, err)
	}
	if err := parsed.Trusts([]byte("ca")); err != nil {
		t.Error(err)
	}
	if err := parsed.Trusts([]byte("another")); err == nil {
		t.Error("another CA was trusted")
	}
}

func TestABareTokenTrustsWhatAnswers(t *testing.T) {
	parsed, err := Parse("K10 is only a word")
	if err != nil || parsed.Secret != "K10 is only a word" {
		t.Fatal(parsed, err)
	}
	if err := parsed.Trusts([]byte("any")); err != nil {
		t.Error(err)
	}
}

func TestABrokenFullTokenIsRefused(t *testing.T) {
	for _, broken := range []string{"K10abc::server:x", Full([]byte("ca"), "server", "")} {
		if _, err := Parse(broken); err == nil {
			t.Errorf("%q was accepted", broken)
		}
	}
}
