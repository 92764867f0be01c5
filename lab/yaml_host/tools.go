//go:build tools

// Package tools pins the language host of YAML programs that the lab builds where there is no official one.
package tools

import _ "github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml"
