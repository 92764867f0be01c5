// Package kube writes kubeconfigs and makes clients of them.
package kube

import (
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"edge/lab/kubernetes/k3s/internal/pki"
)

// WriteConfig writes a kubeconfig that names the files of its certificate.
func WriteConfig(path, server, ca, certificate string) error {
	config := empty(server)
	config.Clusters["default"].CertificateAuthority = ca
	config.AuthInfos["default"] = &api.AuthInfo{ClientCertificate: certificate + ".crt", ClientKey: certificate + ".key"}
	return write(path, config)
}

// WriteWholeConfig writes a kubeconfig that holds its certificates itself.
func WriteWholeConfig(path, server string, ca, certificate, key []byte) error {
	config := empty(server)
	config.Clusters["default"].CertificateAuthorityData = ca
	config.AuthInfos["default"] = &api.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
	return write(path, config)
}

// Client reads a kubeconfig.
func Client(path string) (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 50, 100
	return kubernetes.NewForConfig(config)
}

func empty(server string) *api.Config {
	config := api.NewConfig()
	config.Clusters["default"] = &api.Cluster{Server: server}
	config.Contexts["default"] = &api.Context{Cluster: "default", AuthInfo: "default"}
	config.CurrentContext = "default"
	return config
}

func write(path string, config *api.Config) error {
	content, err := clientcmd.Write(*config)
	if err != nil {
		return err
	}
	return pki.Write(path, content)
}
