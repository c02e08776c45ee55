package main

import (
	"fmt"
	"runtime"

	"github.com/delos-financial/clientbinding-operator/internal/metrics"
)

// version and commit are set by the build.
var version, commit = "dev", "unknown"

// thisBuild names the sources and the Go version of this binary.
func thisBuild() metrics.Build {
	return metrics.Build{Version: version, Commit: commit, Go: runtime.Version()}
}

// userAgent names the operator and its build to the API server and to the Delos API.
func userAgent(build metrics.Build) string {
	return fmt.Sprintf("%s/%s (commit %s; %s)", name, build.Version, build.Commit, build.Go)
}
