//go:build tools

// Package tools pins the Pulumi CLI that engine/go_build.py builds where neither a `pulumi` nor a download is to be had.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
