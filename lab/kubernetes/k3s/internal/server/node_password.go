package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"edge/lab/kubernetes/k3s/internal/paths"
)

var errRejected = errors.New("Node password rejected, duplicate hostname or contents of '" + paths.NodePassword +
	"' may not match server node-passwd entry, try enabling a unique node name with the --with-node-id flag")

// Holds a node to the password with which its name was registered first. Whoever deletes the Secret lets another
// machine take the name.
func checkNodePassword(ctx context.Context, client kubernetes.Interface, node, password string) error {
	if password == "" {
		return errRejected
	}
	secrets := client.CoreV1().Secrets(metav1.NamespaceSystem)
	name := strings.ToLower(node) + ".node-password.k3s"
	for {
		found, err := secrets.Get(ctx, name, metav1.GetOptions{})
		if err == nil {
			if !matches(string(found.Data["hash"]), password) {
				return errRejected
			}
			return nil
		}
		if !apierrors.IsNotFound(err) {
			return err
		}
		immutable := true
		_, err = secrets.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Immutable:  &immutable,
			Data:       map[string][]byte{"hash": []byte(hash(password))},
		}, metav1.CreateOptions{})
		if err == nil {
			return nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
}

// The password is 128 random bits: a salted hash is enough.
func hash(password string) string {
	salt := make([]byte, 8)
	if _, err := rand.Read(salt); err != nil {
		panic(err)
	}
	return hashWith(hex.EncodeToString(salt), password)
}

func hashWith(salt, password string) string {
	sum := sha256.Sum256([]byte(salt + password))
	return fmt.Sprintf("sha256:%s:%s", salt, hex.EncodeToString(sum[:]))
}

func matches(hashed, password string) bool {
	parts := strings.Split(hashed, ":")
	return len(parts) == 3 && subtle.ConstantTimeCompare([]byte(hashWith(parts[1], password)), []byte(hashed)) == 1
}
