//go:build tools

// Package kustomize pins what renders a folder with a kustomization.yaml in the tests.
package kustomize

import _ "sigs.k8s.io/kustomize/kustomize/v5"
