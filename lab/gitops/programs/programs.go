//go:build tools

package programs

import (
	_ "github.com/controlplaneio-fluxcd/flux-operator/cmd/operator"
	_ "github.com/fluxcd/kustomize-controller"
	_ "github.com/fluxcd/source-controller"
	_ "helm.sh/helm/v3/cmd/helm"
)
