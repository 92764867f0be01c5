//go:build tools

package crane

import _ "github.com/google/go-containerregistry/cmd/crane"
