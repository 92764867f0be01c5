//go:build tools

// Package tools keeps the programs that the lab builds among the requirements of go.mod.
package tools

import (
	_ "github.com/prometheus/prometheus/cmd/prometheus"
	_ "github.com/prometheus/prometheus/cmd/promtool"
)
