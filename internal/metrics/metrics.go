// Package metrics has every metric of the operator. It imports none of the operator's packages, so that
// each of them can count.
package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Unknown is the label connection of an object without an APIConnection that exists.
const Unknown = "none"

// Metrics are the metrics that the operator updates as it works. Those about calls and bindings have the label connection,
// namespace/name of an APIConnection; no label has a value that comes from the API, a user or a client.
type Metrics struct {
	calls     *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	inFlight  *prometheus.GaugeVec
	waits     *prometheus.CounterVec
	open      *prometheus.GaugeVec
	outages   *prometheus.CounterVec
	expires   *prometheus.GaugeVec
	drifts    *prometheus.CounterVec
	unread    *prometheus.CounterVec
	unwritten prometheus.Counter
}

// New returns metrics that are registered.
func New(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		calls: calls.counter(),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    callDuration.Name,
			Help:    callDuration.Help,
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, callDuration.Labels),
		inFlight: callsInFlight.gauge(),
		waits:    waits.counter(),
		open:     sessionOpen.gauge(),
		outages:  outages.counter(),
		expires:  sessionExpires.gauge(),
		drifts:   driftsCorrected.counter(),
		unread:   releasedUnread.counter(),
	}
	m.unread.WithLabelValues(Unknown)
	m.unwritten = prometheus.NewCounter(prometheus.CounterOpts{Name: auditFailures.Name, Help: auditFailures.Help})
	registerer.MustRegister(m.unwritten, m.calls, m.duration, m.inFlight, m.waits, m.open, m.outages, m.expires, m.drifts, m.unread)
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

// Waited counts a run that was told to come back.
func (c *Connection) Waited() { c.metrics.waits.WithLabelValues(c.name).Inc() }

// Open tells whether the session may be used. Counters begin at 0 then: Prometheus does not see the first step of one that begins
// at 1.
func (c *Connection) Open(open bool) {
	for _, counter := range []*prometheus.CounterVec{c.metrics.waits, c.metrics.outages, c.metrics.drifts, c.metrics.unread} {
		counter.WithLabelValues(c.name)
	}
	value := 0.0
	if open {
		value = 1
	}
	c.metrics.open.WithLabelValues(c.name).Set(value)
}

// Outage counts an outage.
func (c *Connection) Outage() { c.metrics.outages.WithLabelValues(c.name).Inc() }

// Expires tells when the access token expires.
func (c *Connection) Expires(at time.Time) {
	c.metrics.expires.WithLabelValues(c.name).Set(float64(at.Unix()))
}

// Drift counts a relation that was changed from outside, and that was corrected.
func (c *Connection) Drift() { c.metrics.drifts.WithLabelValues(c.name).Inc() }

// ReleasedUnread counts a ClientBinding that was let go although its access could not be read.
func (c *Connection) ReleasedUnread() { c.metrics.unread.WithLabelValues(c.name).Inc() }

// AuditFailed counts an audit line that the audit file did not take.
func (m *Metrics) AuditFailed() { m.unwritten.Inc() }

// Forget removes the metrics of a connection that is gone.
func (c *Connection) Forget() {
	labels := prometheus.Labels{"connection": c.name}
	c.metrics.calls.DeletePartialMatch(labels)
	c.metrics.duration.DeletePartialMatch(labels)
	c.metrics.inFlight.DeletePartialMatch(labels)
	c.metrics.waits.DeletePartialMatch(labels)
	c.metrics.open.DeletePartialMatch(labels)
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
