package server

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/k3s-io/kine/pkg/endpoint"
	kinetls "github.com/k3s-io/kine/pkg/tls"
	"github.com/sirupsen/logrus"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"

	"edge/lab/kubernetes/k3s/internal/join"
	"edge/lab/kubernetes/k3s/internal/paths"
)

const (
	sqliteEndpoint  = "sqlite://" + paths.SQLite + "?_journal=WAL&cache=shared&_busy_timeout=30000&_txlock=immediate"
	bootstrapPrefix = "/bootstrap/"
)

// Where the API server finds the cluster's state.
type datastore struct {
	endpoints            []string
	ca, certificate, key string
}

// What the disk and the settings say, in this order, decides: an external datastore, the etcd that is here, a new etcd,
// the etcd of the server to join, or SQLite.
func (s *Server) startDatastore(ctx context.Context) error {
	external := s.config.Text("datastore-endpoint", "")
	joins := s.config.Text("server", "")
	if external == "" {
		if err := unbury(paths.Etcd, tombstone, joins); err != nil {
			return err
		}
	}
	switch {
	case external != "":
		return s.startKine(external)
	case exists(etcdLog):
		return s.startEtcd(ctx, etcdGoesOn)
	case s.config.Is("cluster-init"):
		return s.startEtcd(ctx, etcdFounds)
	case joins != "":
		return s.startEtcd(ctx, etcdJoins)
	}
	if err := os.MkdirAll(paths.DB, 0o700); err != nil {
		return err
	}
	return s.startKine(sqliteEndpoint)
}

func (s *Server) startKine(at string) error {
	config := kineConfig(at, kinetls.Config{
		CAFile:   s.config.Text("datastore-cafile", ""),
		CertFile: s.config.Text("datastore-certfile", ""),
		KeyFile:  s.config.Text("datastore-keyfile", ""),
	})
	config.WaitGroup = &s.kine
	started, err := endpoint.Listen(s.outlives, config)
	if err != nil {
		return err
	}
	s.datastore = datastore{
		started.Endpoints, started.TLSConfig.CAFile, started.TLSConfig.CertFile, started.TLSConfig.KeyFile,
	}
	return nil
}

func kineConfig(at string, backend kinetls.Config) endpoint.Config {
	return endpoint.Config{
		Listener: "unix://" + paths.KineSock, Endpoint: at, BackendTLSConfig: backend,
		NotifyInterval: 5 * time.Second, EmulatedETCDVersion: "3.5.13",
		// Kine's own command line has these defaults; its library has none.
		CompactInterval: 5 * time.Minute, CompactIntervalJitter: 5, CompactTimeout: 5 * time.Second,
		CompactMinRetain: 1000, CompactBatchSize: 1000, PollBatchSize: 500,
	}
}

func (d datastore) open() (*clientv3.Client, error) {
	config := clientv3.Config{Endpoints: d.endpoints, DialTimeout: 10 * time.Second}
	if d.ca != "" {
		info := transport.TLSInfo{TrustedCAFile: d.ca, CertFile: d.certificate, KeyFile: d.key}
		settings, err := info.ClientConfig()
		if err != nil {
			return nil, err
		}
		config.TLS = settings
	}
	return clientv3.New(config)
}

// The authorities lie in the datastore, encrypted with the token: servers that share nothing else find them there, and
// one with another token finds nothing that it could read.
func (s *Server) reconcileBootstrap(ctx context.Context) error {
	client, err := s.datastore.open()
	if err != nil {
		return err
	}
	defer client.Close()
	key := bootstrapPrefix + hashOf(s.token)
	for {
		found, err := retry(ctx, func(ctx context.Context) (*clientv3.GetResponse, error) {
			return client.Get(ctx, bootstrapPrefix, clientv3.WithPrefix())
		})
		if err != nil {
			return fmt.Errorf("the datastore: %w", err)
		}
		if len(found.Kvs) > 0 {
			for _, pair := range found.Kvs {
				if string(pair.Key) == key {
					return s.adoptSealed(pair.Value)
				}
			}
			return errors.New("bootstrap data already found and encrypted with different token")
		}
		if err := s.makeShared(); err != nil {
			return err
		}
		own, err := s.bootstrap()
		if err != nil {
			return err
		}
		content, err := json.Marshal(own)
		if err != nil {
			return err
		}
		put, err := client.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).
			Then(clientv3.OpPut(key, string(seal(s.token, content)))).
			Commit()
		if err != nil {
			return fmt.Errorf("the datastore: %w", err)
		}
		if put.Succeeded {
			return nil
		}
	}
}

func (s *Server) adoptSealed(sealed []byte) error {
	content, err := unseal(s.token, sealed)
	if err != nil {
		return err
	}
	given := join.Bootstrap{}
	if err := json.Unmarshal(content, &given); err != nil {
		return err
	}
	if s.config.Text("datastore-endpoint", "") == "" {
		// The only server, or one that has checked when it joined: its settings may change between starts.
		given.Settings = nil
	}
	return s.adopt(given)
}

func retry[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	deadline := time.Now().Add(patience)
	for {
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		result, err := call(limited)
		cancel()
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return result, err
		}
		logrus.Infof("Waiting for the datastore: %v", err)
		time.Sleep(time.Second)
	}
}

func hashOf(token string) string {
	sum := sha256.Sum256([]byte("key of " + token))
	return hex.EncodeToString(sum[:6])
}

func sealer(token string) cipher.AEAD {
	sum := sha256.Sum256([]byte("seal of " + token))
	block, err := aes.NewCipher(sum[:])
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func seal(token string, content []byte) []byte {
	aead := sealer(token)
	nonce := make([]byte, aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		panic(err)
	}
	return aead.Seal(nonce, nonce, content, nil)
}

func unseal(token string, sealed []byte) ([]byte, error) {
	aead := sealer(token)
	if len(sealed) < aead.NonceSize() {
		return nil, errors.New("the datastore's bootstrap data is broken")
	}
	return aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], nil)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
