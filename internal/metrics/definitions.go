package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Type is the type of a metric, in the terms of Prometheus.
type Type string

// The types of the operator's metrics.
const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Definition has the name and the meaning of a metric. Help is the text of a scrape, and of docs/metrics.md.
type Definition struct {
	Name   string
	Type   Type
	Labels []string
	Help   string
}

// The metrics, in the order of docs/metrics.md.
var (
	bindings = gauge("bindings", "ClientBindings by state (Ready, Reconciling, Stalled, Waiting, New) and by the reason of the condition Ready.",
		"connection", "state", "reason")
	confirmationAge = gauge("confirmation_oldest_age_seconds", "How long ago the declared access of a ClientBinding was last confirmed, for the one where that is longest. A confirmation that finds nothing new is written every second time, so up to two intervals are usual.",
		"connection")
	drifted = gauge("bindings_drifted", "ClientBindings whose access was confirmed and is now another one on the platform, and was not corrected yet: suspended, contested, a dry run, or the correction fails.",
		"connection")
	driftsCorrected = counter("drifts_corrected_total", "How often confirmed access was found changed on the platform, and was corrected.",
		"connection")
	pending = gauge("revocations_pending", "ClientBindings that are deleted or expired and whose access was not yet seen gone, by reason: Revoking, RevocationBlocked or RevocationHeld.",
		"connection", "reason")
	pendingAge = gauge("revocation_oldest_age_seconds", "How long the oldest of these revocations has been due, at the time of the scrape.",
		"connection", "reason")
	expiring = gauge("bindings_expiring", "ClientBindings whose access ends within a day.",
		"connection")
	unrevoked = gauge("bindings_expired_unrevoked", "ClientBindings that have expired and whose access was not yet seen gone.",
		"connection")
	unrevokedAge = gauge("expired_unrevoked_oldest_age_seconds", "How long ago the first of them expired.",
		"connection")
	releasedUnread = counter("released_unread_total", "Deleted ClientBindings without a claim that were let go although nobody could read, for --stall-after, whether there is access. The connection is \"none\" if it does not exist.",
		"connection")
	connectionReady = gauge("connection_ready", "Whether the APIConnection is ready (1) or not (0), with the reason of its condition Ready.",
		"connection", "reason")
	connectionInterval = gauge("connection_interval_seconds", "At which interval the access of each ClientBinding is confirmed.",
		"connection")
	sessionOpen = gauge("api_session_open", "1 while the session of the connection may be used; 0 with refused credentials, or during an outage.",
		"connection")
	sessionExpires = gauge("api_session_expiry_timestamp_seconds", "When the access token of the session expires, in seconds since 1970. With login and password the operator renews it before.",
		"connection")
	tokenExpires = gauge("token_expiry_timestamp_seconds", "When the token in the Secret of the connection expires and has to be replaced, in seconds since 1970. Absent with login and password.",
		"connection")
	outages = counter("api_outages_total", "How often calls of the Delos API failed so often in a row that they were stopped.",
		"connection")
	calls = counter("api_calls_total", "Calls of the Delos API, logins and refreshes among them, by class of the HTTP status: 2xx to 5xx, or none without a whole answer.",
		"connection", "operation", "status")
	callDuration = Definition{Name: fullName("api_call_duration_seconds"), Type: Histogram, Labels: []string{"connection", "operation"},
		Help: "How long calls of the Delos API took, until the last byte of the answer."}
	callsInFlight = gauge("api_calls_in_flight", "Calls of the Delos API that are under way.",
		"connection", "operation")
	waits = counter("api_waits_total", "How often a run got no turn and was told to come back: because of the rate limit, because as many runs were under way as the connection has slots, or because the API asked for patience.",
		"connection")
	auditFailures = counter("audit_failures_total", "How many audit lines could not be written to the file of --audit-log; they are in the log.")
	watchFailing  = gauge("watch_failing", "1 while the cache of a kind (ClientBinding, APIConnection or Namespace) has not filled, or its watch has been failing for a minute: no change is seen, and no deletion.",
		"kind")
	admissionPolicies = gauge("admission_policies", "1 for the state in which each of the shipped admission policies was found within the last minute: Enforced, NotEnforced, or PoliciesUnreadable when the operator may not read it.",
		"kind", "policy", "state")
	buildInfo = gauge("build_info", "1, with what the operator was built from as labels.",
		"version", "commit", "go")
)

// All returns the definitions of the operator's metrics.
func All() []Definition {
	return []Definition{
		bindings, confirmationAge, drifted, driftsCorrected, pending, pendingAge, expiring, unrevoked, unrevokedAge, releasedUnread,
		connectionReady, connectionInterval, sessionOpen, sessionExpires, tokenExpires, outages, calls, callDuration, callsInFlight, waits,
		auditFailures, watchFailing, admissionPolicies, buildInfo,
	}
}

func fullName(name string) string { return "clientbinding_" + name }

func gauge(name, help string, labels ...string) Definition {
	return Definition{Name: fullName(name), Type: Gauge, Labels: labels, Help: help}
}

func counter(name, help string, labels ...string) Definition {
	return Definition{Name: fullName(name), Type: Counter, Labels: labels, Help: help}
}

func (d Definition) desc() *prometheus.Desc {
	return prometheus.NewDesc(d.Name, d.Help, slices.Clone(d.Labels), nil)
}

func (d Definition) counter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Help}, d.Labels)
}

func (d Definition) gauge() *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: d.Name, Help: d.Help}, d.Labels)
}

// measured is one value of a metric that is computed at the time of a scrape.
func (d Definition) measured(value float64, labels ...string) prometheus.Metric {
	kind := prometheus.GaugeValue
	if d.Type == Counter {
		kind = prometheus.CounterValue
	}
	return prometheus.MustNewConstMetric(d.desc(), kind, value, labels...)
}
