//go:build metrics

package metrics

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/delos-financial/clientbinding-operator/internal/metrics"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

var record = flag.String("record", "", "the file into which the series of the dashboard are written")

// between are the bounds of a value. A count has one value. On a slow machine an optional value may be present.
type between struct {
	low, high float64
	optional  bool
}

func is(value float64) between { return between{low: value, high: value} }

// about is an age, which grows during the measurement.
func about(since time.Time) between {
	age := time.Since(since).Seconds()
	return between{low: age - 3, high: age + 3}
}

// left is the time until something ends, which goes on while it is measured.
func left(ends time.Time) between {
	until := time.Until(ends).Seconds()
	return between{low: until - 60, high: until + 1}
}

// lost are audit lines that the file does not take: two for each write since the scenario removed its directory.
var lost = between{low: 10, high: 500}

// some is a rate or a duration whose size depends on the machine.
var some = between{low: 1e-9, high: 30}

// result is the wanted result of a query: all series, by their labels.
type result map[string]between

// compare describes the difference between two results; "" if there is none.
func (want result) compare(got map[string]float64) string {
	var problems []string
	for labels, value := range got {
		if wanted, expected := want[labels]; !expected {
			problems = append(problems, fmt.Sprintf("there is {%s} %g", labels, value))
		} else if !(value >= wanted.low && value <= wanted.high) {
			problems = append(problems, fmt.Sprintf("{%s} is %g, want %g to %g", labels, value, wanted.low, wanted.high))
		}
	}
	for labels, wanted := range want {
		if _, there := got[labels]; !there && !wanted.optional {
			problems = append(problems, fmt.Sprintf("{%s} is missing", labels))
		}
	}
	slices.Sort(problems)
	return strings.Join(problems, "; ")
}

// TestWhatHappensIsShown runs the scenario, and compares the result of each alert and each query of the dashboard with the true state.
func TestWhatHappensIsShown(t *testing.T) {
	address, err := sandbox.FreeAddress(t.Context())
	sandbox.Must(t, err)
	second, err := sandbox.FreeAddress(t.Context())
	sandbox.Must(t, err)
	began := time.Now()
	p := startPrometheus(t, address, second)
	expressions, queries := alerts(t), panels(t)
	tried := map[string]bool{}
	expect := func(alert string, want result) {
		t.Helper()
		tried[alert] = true
		expression, known := expressions[alert]
		if !known {
			t.Fatalf("there is no alert %s", alert)
		}
		sandbox.Within(t, limit, func() string {
			got, err := p.instant(t.Context(), expression, time.Now())
			if err != nil {
				return err.Error()
			}
			if problem := want.compare(got); problem != "" {
				return alert + ": " + problem
			}
			return ""
		})
	}

	s := newScenario(t)
	expect("OperatorAbsent", result{"": is(1)})
	s.weaken()
	free := s.occupy()
	sandbox.Must(t, box.Operator.Start(t.Context(), "--stall-after=2s", "--audit-log="+s.auditLog, "--metrics-bind-address="+address))
	expect("OperatorAbsent", result{})
	expect("NoLeader", result{"": is(0)})
	free()
	expect("NoLeader", result{})
	for alert := range expressions {
		switch alert {
		case "OperatorAbsent", "NoLeader":
		case "PolicyNotEnforced":
			expect(alert, result{"kind=ValidatingAdmissionPolicy policy=clientbinding-operator-orphans": is(1)})
		default:
			expect(alert, result{})
		}
	}

	s.grant()
	s.expire()
	s.loseAudit()
	s.drift()
	s.block()
	s.hold()
	s.useToken()
	s.refuse(func() {
		sandbox.Within(t, limit, func() string {
			got, err := p.instant(t.Context(), `clientbinding_released_unread_total{connection="team-a/refused"}`, time.Now())
			if err != nil || len(got) != 1 {
				return fmt.Sprint("not scraped yet: ", got, err)
			}
			return ""
		})
	})
	s.breakDown()
	s.blind(second)

	stalled := result{"connection=none reason=ConnectionNotFound": is(1), "connection=team-a/default reason=Contested": is(1),
		"connection=team-a/default reason=UserNotFound": is(1), "connection=team-a/down reason=Unverified": is(2),
		"connection=team-a/blocked reason=RevocationBlocked": is(1)}
	expect("Stalled", stalled)
	expect("RevocationBlocked", result{"connection=team-a/blocked": about(s.end)})
	expect("RevocationsHeld", result{"connection=team-a/held": is(1)})
	expect("RevocationOverdue", result{"connection=team-a/blocked reason=RevocationBlocked": about(s.end)})
	expect("ExpiredNotRevoked", result{"connection=team-a/blocked": about(s.end)})
	expect("SessionClosed", result{"connection=team-a/down": is(0), "connection=team-a/refused": is(0)})
	expect("CredentialsRefused", result{"connection=team-a/refused reason=LoginRefused": is(0)})
	expect("TokenExpiring", result{"connection=team-a/token": left(s.tokenEnds)})
	expect("Drift", result{"connection=team-a/default": between{low: 5, high: 6}})
	expect("ReleasedUnread", result{"connection=team-a/refused": between{low: 1, high: 1.5}})
	expect("AuditLinesLost", result{"": lost})
	expect("ConfirmationsStale", result{"connection=team-a/default": {low: 3, high: 300}, "connection=team-a/down": {low: 3, high: 300}})
	expect("OperatorBlind", result{"kind=ClientBinding": is(1)})
	expect("PolicyNotEnforced", result{"kind=ValidatingAdmissionPolicy policy=clientbinding-operator-orphans": is(1)})
	for alert := range expressions {
		if !tried[alert] {
			t.Errorf("nothing says what the alert %s returns", alert)
		}
	}
	t.Run("dashboard", func(t *testing.T) { s.compareDashboard(t, p, queries) })
	t.Run("annotations", func(t *testing.T) { readAnnotations(t, p) })
	t.Run("definitions", func(t *testing.T) { readDefinitions(t, p) })
	if *record != "" {
		write(t, p, queries, began)
	}
}

// alerts are the expressions of the alerts, by their names without the prefix.
func alerts(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../config/prometheus/rules.yaml")
	sandbox.Must(t, err)
	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	sandbox.Must(t, yaml.Unmarshal(text, &file))
	found := map[string]string{}
	for _, rule := range file.Groups[0].Rules {
		found[strings.TrimPrefix(rule.Alert, "ClientBinding")] = rule.Expr
	}
	return found
}

// query is a query of a panel.
type query struct {
	Panel  string `json:"panel"`
	Expr   string `json:"expr"`
	Legend string `json:"legendFormat"`
	Series []series
}

// panels are the queries of the dashboard, with its variables as they are when nothing is chosen, and $__rate_interval left.
func panels(t *testing.T) []query {
	t.Helper()
	text, err := os.ReadFile("../../config/grafana/dashboard.json")
	sandbox.Must(t, err)
	var dashboard struct {
		Panels []struct {
			Title   string
			Type    string
			Targets []query
		}
	}
	sandbox.Must(t, json.Unmarshal(text, &dashboard))
	var found []query
	for _, panel := range dashboard.Panels {
		for i, target := range panel.Targets {
			target.Panel = fmt.Sprintf("%s %s %c", panel.Type, panel.Title, 'A'+i)
			target.Expr = strings.ReplaceAll(target.Expr, "$connection", ".*")
			found = append(found, target)
		}
	}
	return found
}

// compareDashboard compares all panels at one time with the true state.
func (s *scenario) compareDashboard(t *testing.T, p *prometheus, queries []query) {
	want := s.dashboard()
	sandbox.Within(t, limit, func() string {
		at := time.Now()
		var problems []string
		for _, query := range queries {
			got, err := p.instant(t.Context(), strings.ReplaceAll(query.Expr, "$__rate_interval", "10m"), at)
			if err != nil {
				return err.Error()
			}
			wanted, known := want[query.Panel]
			if !known {
				t.Fatalf("nothing says what %q returns", query.Panel)
			}
			if problem := wanted.compare(got); problem != "" {
				problems = append(problems, query.Panel+": "+problem)
			}
		}
		return strings.Join(problems, "\n")
	})
	for panel := range want {
		if !slices.ContainsFunc(queries, func(q query) bool { return q.Panel == panel }) {
			t.Errorf("there is no %q", panel)
		}
	}
}

// dashboard has the wanted values of the panels at the end.
func (s *scenario) dashboard() map[string]result {
	number := func(value float64) result { return result{"": is(value)} }
	stale, slots, once, session := between{low: 3, high: 300}, between{high: 16}, between{high: 30}, between{low: 1, high: 3600}
	return map[string]result{
		"stat Ready A":                 number(5),
		"stat Stalled A":               number(6),
		"stat Revocations pending A":   number(2),
		"stat Oldest revocation A":     {"": about(s.end)},
		"stat Expired, not revoked A":  number(1),
		"stat Expiring within a day A": number(1),
		"stat Connections not ready A": number(2),
		"stat Policies not enforced A": number(1),
		"timeseries ClientBindings by state and reason A": {
			"reason=Bound state=Ready": is(4), "reason=Expired state=Ready": is(1), "reason=Contested state=Stalled": is(1),
			"reason=UserNotFound state=Stalled": is(1), "reason=ConnectionNotFound state=Stalled": is(1), "reason=Unverified state=Stalled": is(2),
			"reason=RevocationBlocked state=Stalled": is(1), "reason=RevocationHeld state=Reconciling": is(1),
		},
		"timeseries Revocations pending A": {"reason=RevocationBlocked": is(1), "reason=RevocationHeld": is(1)},
		"timeseries Oldest revocation A": {
			"connection=team-a/blocked reason=RevocationBlocked": about(s.end), "connection=team-a/held reason=RevocationHeld": {low: 1, high: 300},
		},
		"timeseries Oldest confirmation, in intervals A": {
			"connection=team-a/default": stale, "connection=team-a/token": {high: 3}, "connection=team-a/down": stale,
		},
		"timeseries Drift A": {
			"connection=team-a/default": {low: 5, high: 6}, "connection=team-a/blocked": is(0), "connection=team-a/held": is(0),
			"connection=team-a/token": is(0), "connection=team-a/down": is(0), "connection=team-a/refused": is(0),
		},
		"timeseries Drift B": {
			"connection=team-a/default": is(1), "connection=team-a/blocked": is(0), "connection=team-a/held": is(0),
			"connection=team-a/token": is(0), "connection=team-a/down": is(0), "connection=team-a/refused": is(0),
		},
		"timeseries Access with an end A": number(1),
		"timeseries Access with an end B": number(1),
		"timeseries Sessions A": {
			"connection=team-a/default": is(1), "connection=team-a/blocked": is(1), "connection=team-a/held": is(1),
			"connection=team-a/token": is(1), "connection=team-a/down": is(0), "connection=team-a/refused": is(0),
		},
		// A counter of calls begins with the first of them, so that the rate of one call is 0.
		"timeseries Calls of the Delos API A": {
			"operation=login status=2xx": once, "operation=login status=4xx": once, "operation=list-users status=2xx": some,
			"operation=list-users status=none": some, "operation=get-user status=2xx": some, "operation=get-user status=none": some, "operation=get-user status=4xx": some,
			"operation=relate-client status=2xx": some, "operation=remove-relate-client status=2xx": once, "operation=remove-relate-client status=5xx": some,
		},
		"timeseries How long calls take A": {"": {low: 1e-9, high: 5}},
		"timeseries How long calls take B": {"": {low: 1e-9, high: 5}},
		"timeseries Calls under way, and runs that wait A": {
			"connection=team-a/default": slots, "connection=team-a/blocked": slots, "connection=team-a/held": slots,
			"connection=team-a/token": slots, "connection=team-a/down": slots, "connection=team-a/refused": slots,
		},
		"timeseries Calls under way, and runs that wait B": {
			"connection=team-a/default": is(0), "connection=team-a/blocked": is(0), "connection=team-a/held": is(0),
			"connection=team-a/token": is(0), "connection=team-a/down": is(0), "connection=team-a/refused": is(0),
		},
		"timeseries Time left of access tokens A": {
			"connection=team-a/default": session, "connection=team-a/blocked": session, "connection=team-a/held": session, "connection=team-a/down": session,
		},
		"timeseries Time left of access tokens B": {"connection=team-a/token": left(s.tokenEnds)},
		"timeseries Outages A": {
			"connection=team-a/default": is(0), "connection=team-a/blocked": is(0), "connection=team-a/held": is(0),
			"connection=team-a/token": is(0), "connection=team-a/down": {low: 1, high: 30}, "connection=team-a/refused": is(0),
		},
		"timeseries Not written, not read A": {"": lost},
		"timeseries Not written, not read B": {
			"connection=none": is(0), "connection=team-a/default": is(0), "connection=team-a/blocked": is(0), "connection=team-a/held": is(0),
			"connection=team-a/token": is(0), "connection=team-a/down": is(0), "connection=team-a/refused": {low: 1, high: 1.5},
		},
		"timeseries Operator A": number(1),
		"timeseries Operator B": {"kind=APIConnection": is(1), "kind=ClientBinding": is(0), "kind=Namespace": is(1)},
		// The alerts without a wait of minutes.
		"timeseries Alerts A": {
			"alertname=ClientBindingRevocationBlocked": is(1), "alertname=ClientBindingRevocationsHeld": is(1), "alertname=ClientBindingRevocationOverdue": is(1),
			"alertname=ClientBindingExpiredNotRevoked": is(1), "alertname=ClientBindingTokenExpiring": is(1), "alertname=ClientBindingDrift": is(1),
			"alertname=ClientBindingReleasedUnread": is(1), "alertname=ClientBindingAuditLinesLost": is(1),
			"alertname=ClientBindingCredentialsRefused": {low: 1, high: 1, optional: true}, "alertname=ClientBindingOperatorBlind": {low: 1, high: 1, optional: true},
		},
	}
}

// readAnnotations: the texts of the active alerts have their values.
func readAnnotations(t *testing.T, p *prometheus) {
	var answer struct {
		Data struct {
			Alerts []struct{ Annotations map[string]string }
		}
	}
	sandbox.Must(t, p.get(t.Context(), "/api/v1/alerts", &answer))
	if len(answer.Data.Alerts) == 0 {
		t.Error("no alert is active")
	}
	for _, alert := range answer.Data.Alerts {
		for name, text := range alert.Annotations {
			if strings.Contains(text, "<") || strings.Contains(text, "{{") || text == "" {
				t.Errorf("%s: %s", name, text)
			}
		}
	}
}

// readDefinitions: the operator serves the metrics of docs/metrics.md, with the same type, text and labels.
func readDefinitions(t *testing.T, p *prometheus) {
	var answer struct {
		Data map[string][]struct {
			Type metrics.Type
			Help string
		}
	}
	sandbox.Must(t, p.get(t.Context(), "/api/v1/metadata", &answer))
	served, err := p.ask(t.Context(), "/api/v1/query", url.Values{"query": {`{__name__=~"clientbinding_.+"}`}})
	sandbox.Must(t, err)
	labels := map[string][]string{}
	for _, series := range served {
		name := strings.TrimSuffix(series.Metric["__name__"], "_count")
		for _, scraped := range []string{"__name__", "instance", "job"} {
			delete(series.Metric, scraped)
		}
		labels[name] = slices.Sorted(maps.Keys(series.Metric))
	}
	var want, got []metrics.Definition
	for _, metric := range metrics.All() {
		metric.Labels = slices.Sorted(slices.Values(metric.Labels))
		want = append(want, metric)
	}
	for name, is := range answer.Data {
		if strings.HasPrefix(name, "clientbinding_") {
			got = append(got, metrics.Definition{Name: name, Type: is[0].Type, Labels: labels[name], Help: is[0].Help})
		}
	}
	byName := func(a, b metrics.Definition) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(want, byName)
	slices.SortFunc(got, byName)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-defined +served:\n%s", diff)
	}
}

// write records the series of the panels over the time of the scenario.
func write(t *testing.T, p *prometheus, queries []query, began time.Time) {
	t.Helper()
	for i := range queries {
		var err error
		queries[i].Series, err = p.over(t.Context(), strings.ReplaceAll(queries[i].Expr, "$__rate_interval", "5s"), began, time.Now())
		sandbox.Must(t, err)
	}
	file, err := os.Create(*record)
	sandbox.Must(t, err)
	buffered := bufio.NewWriter(file)
	sandbox.Must(t, json.NewEncoder(buffered).Encode(queries))
	sandbox.Must(t, buffered.Flush())
	sandbox.Must(t, file.Close())
}

// TestEveryMetricIsOfUse: a panel or an alert asks for it.
func TestEveryMetricIsOfUse(t *testing.T) {
	dashboard, err := os.ReadFile("../../config/grafana/dashboard.json")
	sandbox.Must(t, err)
	rules, err := os.ReadFile("../../config/prometheus/rules.yaml")
	sandbox.Must(t, err)
	for _, metric := range metrics.All() {
		if !regexp.MustCompile(metric.Name + `(_bucket)?\b`).Match(append(dashboard, rules...)) {
			t.Errorf("no panel and no alert asks for %s", metric.Name)
		}
	}
}

// TestEveryAlertIsTried: promtool's tests have each alert.
func TestEveryAlertIsTried(t *testing.T) {
	text, err := os.ReadFile("alerts.yaml")
	sandbox.Must(t, err)
	for alert := range alerts(t) {
		if !strings.Contains(string(text), `alertname="ClientBinding`+alert+`"`) {
			t.Errorf("alerts.yaml does not say when ClientBinding%s fires", alert)
		}
	}
}
