package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Revocation is access that is to end and was not yet seen gone.
type Revocation struct {
	// Connection through which it ends, as namespace/name.
	Connection string
	// Reason why it is not over yet, one of those of the condition Ready.
	Reason string
	// Since is when the access was to end.
	Since time.Time
}

// Revocations tells how many revocations are due, and since when, whenever it is asked: an age that only changed with
// the objects would stand still while nothing moves, which is when it matters.
type Revocations struct {
	list func() []Revocation
	now  func() time.Time

	pending *prometheus.Desc
	oldest  *prometheus.Desc
}

// NewRevocations returns a collector of what list returns.
func NewRevocations(list func() []Revocation, now func() time.Time) *Revocations {
	labels := []string{"connection", "reason"}
	return &Revocations{
		list: list,
		now:  now,
		pending: prometheus.NewDesc(prometheus.BuildFQName(namespace, "", "revocations_pending"),
			"How many ClientBindings are deleted or expired and have access that was not yet seen gone, by the reason of Ready.", labels, nil),
		oldest: prometheus.NewDesc(prometheus.BuildFQName(namespace, "", "revocation_oldest_age_seconds"),
			"For how long the oldest of them has been due.", labels, nil),
	}
}

// Describe implements prometheus.Collector.
func (r *Revocations) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- r.pending
	descriptions <- r.oldest
}

// Collect implements prometheus.Collector.
func (r *Revocations) Collect(metrics chan<- prometheus.Metric) {
	type group struct{ connection, reason string }
	type sum struct {
		count  int
		oldest time.Time
	}
	sums := map[group]sum{}
	for _, revocation := range r.list() {
		key := group{revocation.Connection, revocation.Reason}
		of := sums[key]
		if of.count == 0 || revocation.Since.Before(of.oldest) {
			of.oldest = revocation.Since
		}
		of.count++
		sums[key] = of
	}
	for key, of := range sums {
		age := max(r.now().Sub(of.oldest), 0)
		metrics <- prometheus.MustNewConstMetric(r.pending, prometheus.GaugeValue, float64(of.count), key.connection, key.reason)
		metrics <- prometheus.MustNewConstMetric(r.oldest, prometheus.GaugeValue, age.Seconds(), key.connection, key.reason)
	}
}
