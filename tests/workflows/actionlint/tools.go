//go:build tools

// Package tools pins actionlint, which tests/workflows/lint.py builds.

package tools

import _ "github.com/rhysd/actionlint/cmd/actionlint"
