package metrics

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Build is what the operator was built from.
type Build struct {
	// Version is that of the release, Commit the one in Git, and Go the version of the compiler.
	Version, Commit, Go string
}

// String returns it on one line.
func (b Build) String() string {
	return fmt.Sprintf("clientbinding-operator %s (commit %s, %s)", b.Version, b.Commit, b.Go)
}

// NewBuild returns a collector of what the operator was built from.
func NewBuild(build Build) prometheus.Collector {
	info := buildInfo.gauge()
	info.WithLabelValues(build.Version, build.Commit, build.Go).Set(1)
	return info
}
