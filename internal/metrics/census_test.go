package metrics

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func objects(connections []APIConnection, bindings iter.Seq[Binding]) prometheus.Collector {
	return NewCensus(func() Objects { return Objects{Connections: slices.Values(connections), Bindings: bindings} }, func() time.Time { return now })
}

func TestCensus(t *testing.T) {
	const through = "team-a/default"
	registry := prometheus.NewRegistry()
	registry.MustRegister(objects([]APIConnection{
		{Name: through, Ready: true, Reason: "LoggedIn", Interval: time.Hour},
		{Name: "team-b/default", Reason: "TokenExpired", Interval: time.Minute, TokenExpires: time.Unix(1_800_000_000, 0)},
	}, slices.Values([]Binding{
		{Connection: through, State: "Ready", Reason: "Bound", Confirmed: now.Add(-time.Minute)},
		{Connection: through, State: "Ready", Reason: "Bound", Confirmed: now.Add(-time.Hour), Expires: now.Add(24 * time.Hour)},
		{Connection: through, State: "Stalled", Reason: "Contested", Confirmed: now.Add(-time.Second), Drifted: true, Expires: now.Add(25 * time.Hour)},
		{Connection: through, State: "Reconciling", Reason: "RevocationBlocked", Revoking: "RevocationBlocked", Due: now.Add(-time.Minute), Unrevoked: true},
		{Connection: through, State: "Stalled", Reason: "RevocationBlocked", Revoking: "RevocationBlocked", Due: now.Add(-time.Hour)},
		{Connection: through, State: "Ready", Reason: "Bound", Revoking: "Revoking", Due: now.Add(time.Second)},
		{Connection: Unknown, State: "New", Reason: "None"},
	})))

	want := `
clientbinding_bindings{connection="none",reason="None",state="New"} 1
clientbinding_bindings{connection="team-a/default",reason="Bound",state="Ready"} 3
clientbinding_bindings{connection="team-a/default",reason="Contested",state="Stalled"} 1
clientbinding_bindings{connection="team-a/default",reason="RevocationBlocked",state="Reconciling"} 1
clientbinding_bindings{connection="team-a/default",reason="RevocationBlocked",state="Stalled"} 1
clientbinding_confirmation_oldest_age_seconds{connection="team-a/default"} 3600
clientbinding_bindings_drifted{connection="team-a/default"} 1
clientbinding_bindings_drifted{connection="team-b/default"} 0
clientbinding_revocations_pending{connection="team-a/default",reason="RevocationBlocked"} 2
clientbinding_revocations_pending{connection="team-a/default",reason="Revoking"} 1
clientbinding_revocation_oldest_age_seconds{connection="team-a/default",reason="RevocationBlocked"} 3600
clientbinding_revocation_oldest_age_seconds{connection="team-a/default",reason="Revoking"} 0
clientbinding_bindings_expiring{connection="team-a/default"} 1
clientbinding_bindings_expiring{connection="team-b/default"} 0
clientbinding_bindings_expired_unrevoked{connection="team-a/default"} 1
clientbinding_bindings_expired_unrevoked{connection="team-b/default"} 0
clientbinding_expired_unrevoked_oldest_age_seconds{connection="team-a/default"} 60
clientbinding_connection_ready{connection="team-a/default",reason="LoggedIn"} 1
clientbinding_connection_ready{connection="team-b/default",reason="TokenExpired"} 0
clientbinding_connection_interval_seconds{connection="team-a/default"} 3600
clientbinding_connection_interval_seconds{connection="team-b/default"} 60
clientbinding_token_expiry_timestamp_seconds{connection="team-b/default"} 1.8e+09
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(explained(want))); err != nil {
		t.Error(err)
	}
}

// explained puts before each metric what a scrape says of it.
func explained(series string) string {
	var text strings.Builder
	former := ""
	for line := range strings.Lines(strings.TrimPrefix(series, "\n")) {
		name, _, _ := strings.Cut(line, "{")
		if name != former {
			index := slices.IndexFunc(All(), func(d Definition) bool { return d.Name == name })
			fmt.Fprintf(&text, "# HELP %s %s\n# TYPE %s %s\n", name, All()[index].Help, name, All()[index].Type)
		}
		former = name
		text.WriteString(line)
	}
	return text.String()
}

// TestAllAreDefined: what is registered is what All says, and the linter of Prometheus finds nothing.
func TestAllAreDefined(t *testing.T) {
	collectors := &collectors{}
	New(collectors)
	collectors.MustRegister(objects(nil, nil), NewPolicies(nil), NewWatches(nil, nil), NewBuild(Build{}))
	found := map[string]bool{}
	for _, collector := range collectors.all {
		descriptions := make(chan *prometheus.Desc, len(All()))
		collector.Describe(descriptions)
		close(descriptions)
		for description := range descriptions {
			found[description.String()] = true
		}
	}
	for _, definition := range All() {
		if text := definition.desc().String(); !found[text] {
			t.Errorf("not registered: %s", text)
		}
		delete(found, definition.desc().String())
	}
	for text := range found {
		t.Errorf("not among All: %s", text)
	}
}

type collectors struct {
	prometheus.Registerer
	all []prometheus.Collector
}

func (c *collectors) MustRegister(more ...prometheus.Collector) { c.all = append(c.all, more...) }
