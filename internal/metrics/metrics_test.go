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
# HELP clientbinding_api_calls_in_flight Calls of the Delos API that are under way.
# TYPE clientbinding_api_calls_in_flight gauge
clientbinding_api_calls_in_flight{connection="team-a/default",operation="get-user"} 0
clientbinding_api_calls_in_flight{connection="team-a/default",operation="relate-client"} 1
# HELP clientbinding_api_calls_total Calls of the Delos API, logins and refreshes among them, by operation and class of the HTTP status (none: no whole answer).
# TYPE clientbinding_api_calls_total counter
clientbinding_api_calls_total{connection="team-a/default",operation="get-user",status="2xx"} 1
clientbinding_api_calls_total{connection="team-a/default",operation="get-user",status="none"} 1
# HELP clientbinding_api_outages_total How often the calls of a connection failed so often in a row that they were stopped.
# TYPE clientbinding_api_outages_total counter
clientbinding_api_outages_total{connection="team-a/default"} 1
# HELP clientbinding_api_session_expiry_timestamp_seconds When the access token expires, in seconds since 1970.
# TYPE clientbinding_api_session_expiry_timestamp_seconds gauge
clientbinding_api_session_expiry_timestamp_seconds{connection="team-a/default"} 1.8e+09
# HELP clientbinding_api_session_open 1 while the connection's session may be used, 0 while it may not: refused credentials, or an outage.
# TYPE clientbinding_api_session_open gauge
clientbinding_api_session_open{connection="team-a/default"} 1
# HELP clientbinding_api_waits_total How often a ClientBinding was told to come back later, because of the connection's rate limit or because the API asked for patience.
# TYPE clientbinding_api_waits_total counter
clientbinding_api_waits_total{connection="team-a/default"} 1
# HELP clientbinding_drifts_corrected_total How often a confirmed relation was found changed by somebody else, and corrected.
# TYPE clientbinding_drifts_corrected_total counter
clientbinding_drifts_corrected_total{connection="team-a/default"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
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
