//go:build tools

package programs

import (
	_ "filippo.io/age/cmd/age-keygen"
	_ "github.com/controlplaneio-fluxcd/flux-operator/cmd/operator"
	_ "github.com/fluxcd/kustomize-controller"
	_ "github.com/fluxcd/source-controller"
	_ "github.com/getsops/sops/v3/cmd/sops"
	_ "helm.sh/helm/v3/cmd/helm"
)
