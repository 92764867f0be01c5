// Package token knows the forms of a cluster's tokens: the bare secret, and the full form, which carries the hash of
// the CA certificate by which a joining node knows the cluster.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

const prefix = "K10"

// Token is what a node shows to join.
type Token struct {
	// User is "server" or "node"; it is "" in the bare form.
	User string
	// Secret is what the server compares.
	Secret string
	// Hash is the SHA-256 of the CA's certificate in hexadecimal, or "" where the token does not say.
	Hash string
}

// Parse takes either form.
func Parse(given string) (Token, error) {
	rest, full := strings.CutPrefix(given, prefix)
	if !full || !strings.Contains(rest, "::") {
		return Token{Secret: given}, nil
	}
	hash, credentials, _ := strings.Cut(rest, "::")
	user, secret, ok := strings.Cut(credentials, ":")
	if !ok || secret == "" || len(hash) != sha256.Size*2 {
		return Token{}, fmt.Errorf("invalid token format: expected %s<hash of the CA>::<user>:<secret>", prefix)
	}
	return Token{User: user, Secret: secret, Hash: hash}, nil
}

// Full is the form that holds a node to the cluster of this CA.
func Full(ca []byte, user, secret string) string {
	return prefix + HashOf(ca) + "::" + user + ":" + secret
}

// HashOf is how a token names a CA: by its certificate in PEM.
func HashOf(ca []byte) string {
	sum := sha256.Sum256(ca)
	return hex.EncodeToString(sum[:])
}

// Trusts returns an error when the token names another CA than this one.
func (t Token) Trusts(ca []byte) error {
	if t.Hash != "" && t.Hash != HashOf(ca) {
		return fmt.Errorf("token CA hash does not match the Cluster CA certificate hash: %s != %s", t.Hash, HashOf(ca))
	}
	return nil
}

// Random is a new secret.
func Random() string {
	bytes := make([]byte, 16)
	if _, err := rand.Read(bytes); err != nil {
		panic(err)
	}
	return hex.EncodeToString(bytes)
}
