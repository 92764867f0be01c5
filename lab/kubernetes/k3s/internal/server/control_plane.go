package server

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"edge/lab/kubernetes/k3s/internal/child"
	"edge/lab/kubernetes/k3s/internal/paths"
)

const (
	issuer  = "https://kubernetes.default.svc.cluster.local"
	ciphers = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384," +
		"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256," +
		"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"
)

func (s *Server) startAPIServer(ctx context.Context) error {
	flags := map[string]string{
		"advertise-address":                  s.config.Text("advertise-address", s.address),
		"allow-privileged":                   "true",
		"anonymous-auth":                     "false",
		"api-audiences":                      issuer + ",k3s",
		"authorization-mode":                 "Node,RBAC",
		"bind-address":                       apiAddress,
		"cert-dir":                           paths.TLS + "/temporary-certs",
		"client-ca-file":                     tlsPath("client-ca.crt"),
		"enable-admission-plugins":           "NodeRestriction",
		"enable-aggregator-routing":          "true",
		"enable-bootstrap-token-auth":        "true",
		"etcd-servers":                       strings.Join(s.datastore.endpoints, ","),
		"kubelet-certificate-authority":      tlsPath("server-ca.crt"),
		"kubelet-client-certificate":         tlsPath("client-kube-apiserver.crt"),
		"kubelet-client-key":                 tlsPath("client-kube-apiserver.key"),
		"kubelet-preferred-address-types":    "InternalIP",
		"permit-port-sharing":                "true",
		"profiling":                          "false",
		"proxy-client-cert-file":             tlsPath("client-auth-proxy.crt"),
		"proxy-client-key-file":              tlsPath("client-auth-proxy.key"),
		"requestheader-allowed-names":        "system:auth-proxy",
		"requestheader-client-ca-file":       tlsPath("request-header-ca.crt"),
		"requestheader-extra-headers-prefix": remoteHeaders + "Extra-",
		"requestheader-group-headers":        remoteHeaders + "Group",
		"requestheader-username-headers":     remoteHeaders + "User",
		"secure-port":                        port,
		"service-account-issuer":             issuer,
		"service-account-key-file":           serviceKey,
		"service-account-signing-key-file":   serviceKey,
		"service-cluster-ip-range":           s.network.service,
		"service-node-port-range":            "30000-32767",
		"storage-backend":                    "etcd3",
		"tls-cert-file":                      tlsPath("serving-kube-apiserver.crt"),
		"tls-cipher-suites":                  ciphers,
		"tls-private-key-file":               tlsPath("serving-kube-apiserver.key"),
	}
	if s.datastore.ca != "" {
		flags["etcd-cafile"] = s.datastore.ca
		flags["etcd-certfile"] = s.datastore.certificate
		flags["etcd-keyfile"] = s.datastore.key
	}
	if s.config.Is("secrets-encryption") {
		flags["encryption-provider-config"] = encryptionFile
		flags["encryption-provider-config-automatic-reload"] = "true"
	}
	if err := s.children.Self("kube-apiserver", child.Merge(flags, s.config.List("kube-apiserver-arg"))...); err != nil {
		return err
	}
	return s.waitForAPIServer(ctx)
}

func (s *Server) waitForAPIServer(ctx context.Context) error {
	said := time.Now()
	for deadline := time.Now().Add(patience); ; {
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := s.client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(limited)
		cancel()
		switch {
		case err == nil:
			logrus.Info("Kube API server is now running")
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(deadline):
			return fmt.Errorf("the API server is not ready after %s: %w", patience, err)
		}
		if time.Since(said) > 15*time.Second {
			logrus.Infof("Waiting for API server to become available: %v", err)
			said = time.Now()
		}
		time.Sleep(300 * time.Millisecond)
	}
}

func (s *Server) startControllers() error {
	config := kubeconfig("controller")
	flags := map[string]string{
		"allocate-node-cidrs":              "true",
		"authentication-kubeconfig":        config,
		"authorization-kubeconfig":         config,
		"bind-address":                     "127.0.0.1",
		"cluster-cidr":                     s.network.cluster,
		"cluster-signing-cert-file":        tlsPath("client-ca.crt"),
		"cluster-signing-key-file":         tlsPath("client-ca.key"),
		"controllers":                      "*,tokencleaner",
		"kubeconfig":                       config,
		"profiling":                        "false",
		"root-ca-file":                     tlsPath("server-ca.crt"),
		"secure-port":                      "10257",
		"service-account-private-key-file": serviceKey,
		"service-cluster-ip-range":         s.network.service,
		"tls-cipher-suites":                ciphers,
		"use-service-account-credentials":  "true",
	}
	given := s.config.List("kube-controller-manager-arg")
	if err := s.children.Self("kube-controller-manager", child.Merge(flags, given)...); err != nil {
		return err
	}
	config = kubeconfig("scheduler")
	flags = map[string]string{
		"authentication-kubeconfig": config,
		"authorization-kubeconfig":  config,
		"bind-address":              "127.0.0.1",
		"kubeconfig":                config,
		"profiling":                 "false",
		"secure-port":               "10259",
		"tls-cipher-suites":         ciphers,
	}
	return s.children.Self("kube-scheduler", child.Merge(flags, s.config.List("kube-scheduler-arg"))...)
}
