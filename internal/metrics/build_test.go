package metrics

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestBuild(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewBuild(Build{Version: "v1.2.3", Commit: "0123abc", Go: "go1.26.8"}))

	want := `
clientbinding_build_info{commit="0123abc",go="go1.26.8",version="v1.2.3"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(explained(want))); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("the linter of Prometheus finds %v, %v", problems, err)
	}
}
