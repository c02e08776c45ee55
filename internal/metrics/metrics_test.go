package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	connection := New(registry).Connection("team-a/default")
	connection.Began("get-user")(200, 30*time.Millisecond)
	connection.Began("get-user")(0, 10*time.Second)
	connection.Began("relate-client")
	connection.Waited()
	connection.Open(true)
	connection.Outage()
	connection.Expires(time.Unix(1_800_000_000, 0))
	connection.Drift()

	want := `
clientbinding_api_calls_in_flight{connection="team-a/default",operation="get-user"} 0
clientbinding_api_calls_in_flight{connection="team-a/default",operation="relate-client"} 1
clientbinding_api_calls_total{connection="team-a/default",operation="get-user",status="2xx"} 1
clientbinding_api_calls_total{connection="team-a/default",operation="get-user",status="none"} 1
clientbinding_api_outages_total{connection="team-a/default"} 1
clientbinding_api_session_expiry_timestamp_seconds{connection="team-a/default"} 1.8e+09
clientbinding_api_session_open{connection="team-a/default"} 1
clientbinding_api_waits_total{connection="team-a/default"} 1
clientbinding_drifts_corrected_total{connection="team-a/default"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(explained(want)),
		"clientbinding_api_calls_total", "clientbinding_api_calls_in_flight", "clientbinding_api_waits_total",
		"clientbinding_api_session_open", "clientbinding_api_outages_total", "clientbinding_api_session_expiry_timestamp_seconds",
		"clientbinding_drifts_corrected_total",
	); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("the linter of Prometheus finds %v, %v", problems, err)
	}
}

func TestForgottenConnectionLeavesNothing(t *testing.T) {
	registry := prometheus.NewRegistry()
	connection := New(registry).Connection("team-a/default")
	before, err := testutil.GatherAndCount(registry)
	if err != nil {
		t.Fatal(err)
	}
	connection.Began("login")(200, time.Second)
	connection.Waited()
	connection.Open(false)
	connection.Outage()
	connection.Expires(time.Unix(1, 0))
	connection.Drift()

	connection.Forget()

	if left, err := testutil.GatherAndCount(registry); err != nil || left != before {
		t.Errorf("%d series are left of %d, %v", left, before, err)
	}
}
