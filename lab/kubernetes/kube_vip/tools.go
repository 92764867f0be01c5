//go:build tools

// Package tools pins kube-vip, which lab/kubernetes/kube_vip.py builds.
package tools

import _ "github.com/kube-vip/kube-vip"
