//go:build tools

// Package tools pins Headscale, which lab/mesh/programs.py builds.
package tools

import _ "github.com/juanfont/headscale/cmd/headscale"
