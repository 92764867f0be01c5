//go:build tools

// Package tools pins the Pulumi CLI that engine/obtain/go_build.py builds where there is no `pulumi` and no download.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
