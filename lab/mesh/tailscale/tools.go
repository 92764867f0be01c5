//go:build tools

// Package tools pins Tailscale's two programs, which lab/mesh/programs.py builds.
package tools

import (
	_ "tailscale.com/cmd/tailscale"
	_ "tailscale.com/cmd/tailscaled"
)
