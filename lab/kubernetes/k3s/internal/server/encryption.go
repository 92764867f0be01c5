package server

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"

	"edge/lab/kubernetes/k3s/internal/paths"
	"edge/lab/kubernetes/k3s/internal/pki"
)

const encryptionFile = paths.Cred + "/encryption-config.json"

// With which key Secrets lie in the datastore. Made once; what is there is kept.
func ensureEncryption(provider string) error {
	if _, err := os.Stat(encryptionFile); err == nil {
		return nil
	}
	if provider != "secretbox" && provider != "aescbc" {
		return fmt.Errorf("secrets-encryption-provider: %q is neither secretbox nor aescbc", provider)
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	type object = map[string]any
	keys := []object{{"name": provider + "key", "secret": base64.StdEncoding.EncodeToString(key)}}
	content, err := json.Marshal(object{
		"kind": "EncryptionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1",
		"resources": []object{{
			"resources": []string{"secrets"},
			"providers": []object{{provider: object{"keys": keys}}, {"identity": object{}}},
		}},
	})
	if err != nil {
		return err
	}
	return pki.Write(encryptionFile, content)
}
