// Package metrics has every metric of the operator. It imports none of the operator's packages, so that
// each of them can count.
package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const namespace = "clientbinding"

// Metrics are the operator's metrics. All of them carry the label connection, namespace/name of an
// APIConnection; no label has a value that comes from the API, a user or a client.
type Metrics struct {
	calls     *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	inFlight  *prometheus.GaugeVec
	waits     *prometheus.CounterVec
	ready     *prometheus.GaugeVec
	outages   *prometheus.CounterVec
	expires   *prometheus.GaugeVec
	drifts    *prometheus.CounterVec
	unread    *prometheus.CounterVec
	unwritten prometheus.Counter
}

// New returns metrics that are registered.
func New(registerer prometheus.Registerer) *Metrics {
	name := func(name string) string { return prometheus.BuildFQName(namespace, "api", name) }
	m := &Metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: name("calls_total"),
			Help: "Calls of the Delos API, logins and refreshes among them, by operation and class of the HTTP status (none: no whole answer).",
		}, []string{"connection", "operation", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    name("call_duration_seconds"),
			Help:    "How long calls of the Delos API took, until the last byte of the answer.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"connection", "operation"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: name("calls_in_flight"),
			Help: "Calls of the Delos API that are under way.",
		}, []string{"connection", "operation"}),
		waits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: name("waits_total"),
			Help: "How often a ClientBinding was told to come back later, because of the connection's rate limit or because the API asked for patience.",
		}, []string{"connection"}),
		ready: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: name("session_open"),
			Help: "1 while the connection's session may be used, 0 while it may not: refused credentials, or an outage.",
		}, []string{"connection"}),
		outages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: name("outages_total"),
			Help: "How often the calls of a connection failed so often in a row that they were stopped.",
		}, []string{"connection"}),
		expires: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: name("session_expiry_timestamp_seconds"),
			Help: "When the access token expires, in seconds since 1970.",
		}, []string{"connection"}),
		drifts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prometheus.BuildFQName(namespace, "", "drifts_corrected_total"),
			Help: "How often a confirmed relation was found changed by somebody else, and corrected.",
		}, []string{"connection"}),
	}
	m.unread = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: prometheus.BuildFQName(namespace, "", "released_unread_total"),
		Help: "How often a deleted ClientBinding without a status was let go although nobody could read whether its access exists.",
	}, []string{"connection"})
	m.unwritten = prometheus.NewCounter(prometheus.CounterOpts{
		Name: prometheus.BuildFQName(namespace, "", "audit_failures_total"),
		Help: "How many audit lines could not be written to the file of --audit-log; they are in the log.",
	})
	registerer.MustRegister(m.unwritten, m.calls, m.duration, m.inFlight, m.waits, m.ready, m.outages, m.expires, m.drifts, m.unread)
	return m
}

// Connection returns the metrics of one APIConnection, given as namespace/name.
func (m *Metrics) Connection(name string) *Connection {
	return &Connection{metrics: m, name: name}
}

// Connection are the metrics of one APIConnection.
type Connection struct {
	metrics *Metrics
	name    string
}

// Began counts a call as under way. The function that it returns counts it as done: with the HTTP status,
// 0 when there was no whole answer, and how long it took.
func (c *Connection) Began(operation string) func(status int, took time.Duration) {
	inFlight := c.metrics.inFlight.WithLabelValues(c.name, operation)
	inFlight.Inc()
	return func(status int, took time.Duration) {
		inFlight.Dec()
		c.metrics.calls.WithLabelValues(c.name, operation, class(status)).Inc()
		c.metrics.duration.WithLabelValues(c.name, operation).Observe(took.Seconds())
	}
}

// Waited counts somebody who was told to come back.
func (c *Connection) Waited() { c.metrics.waits.WithLabelValues(c.name).Inc() }

// Open tells whether the session may be used.
func (c *Connection) Open(open bool) {
	value := 0.0
	if open {
		value = 1
	}
	c.metrics.ready.WithLabelValues(c.name).Set(value)
}

// Outage counts an outage.
func (c *Connection) Outage() { c.metrics.outages.WithLabelValues(c.name).Inc() }

// Expires tells when the access token expires.
func (c *Connection) Expires(at time.Time) {
	c.metrics.expires.WithLabelValues(c.name).Set(float64(at.Unix()))
}

// Drift counts a relation that somebody else had changed, and that was corrected.
func (c *Connection) Drift() { c.metrics.drifts.WithLabelValues(c.name).Inc() }

// ReleasedUnread counts a ClientBinding that was let go although its access could not be read.
func (c *Connection) ReleasedUnread() { c.metrics.unread.WithLabelValues(c.name).Inc() }

// AuditFailed counts an audit line that the audit file did not take.
func (m *Metrics) AuditFailed() { m.unwritten.Inc() }

// Forget removes the metrics of a connection that is no more.
func (c *Connection) Forget() {
	labels := prometheus.Labels{"connection": c.name}
	c.metrics.calls.DeletePartialMatch(labels)
	c.metrics.duration.DeletePartialMatch(labels)
	c.metrics.inFlight.DeletePartialMatch(labels)
	c.metrics.waits.DeletePartialMatch(labels)
	c.metrics.ready.DeletePartialMatch(labels)
	c.metrics.outages.DeletePartialMatch(labels)
	c.metrics.expires.DeletePartialMatch(labels)
	c.metrics.drifts.DeletePartialMatch(labels)
	c.metrics.unread.DeletePartialMatch(labels)
}

func class(status int) string {
	if status < 100 || status > 599 {
		return "none"
	}
	return strconv.Itoa(status/100) + "xx"
}
