package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestRevocations(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewRevocations(func() []Revocation {
		return []Revocation{
			{Connection: "team-a/default", Reason: "RevocationBlocked", Since: now.Add(-time.Minute)},
			{Connection: "team-a/default", Reason: "RevocationBlocked", Since: now.Add(-time.Hour)},
			{Connection: "team-a/default", Reason: "Revoking", Since: now.Add(time.Second)},
		}
	}, func() time.Time { return now }))

	want := `
# HELP clientbinding_revocation_oldest_age_seconds For how long the oldest of them has been due.
# TYPE clientbinding_revocation_oldest_age_seconds gauge
clientbinding_revocation_oldest_age_seconds{connection="team-a/default",reason="RevocationBlocked"} 3600
clientbinding_revocation_oldest_age_seconds{connection="team-a/default",reason="Revoking"} 0
# HELP clientbinding_revocations_pending How many ClientBindings are deleted or expired and have access that was not yet seen gone, by the reason of Ready.
# TYPE clientbinding_revocations_pending gauge
clientbinding_revocations_pending{connection="team-a/default",reason="RevocationBlocked"} 2
clientbinding_revocations_pending{connection="team-a/default",reason="Revoking"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("the linter of Prometheus finds %v, %v", problems, err)
	}
}
