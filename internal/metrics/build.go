package metrics

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Build names the sources and the compiler of this operator.
type Build struct {
	// Version of the release, Commit in Git, and version of Go.
	Version, Commit, Go string
}

// String returns it on one line.
func (b Build) String() string {
	return fmt.Sprintf("clientbinding-operator %s (commit %s, %s)", b.Version, b.Commit, b.Go)
}

// NewBuild returns a collector of the build.
func NewBuild(build Build) prometheus.Collector {
	info := buildInfo.gauge()
	info.WithLabelValues(build.Version, build.Commit, build.Go).Set(1)
	return info
}
