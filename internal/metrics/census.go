package metrics

import (
	"iter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Binding has the data of a ClientBinding that the metrics need.
type Binding struct {
	// Connection of the binding as namespace/name, or Unknown.
	Connection string
	// State and Reason are labels of the metric clientbinding_bindings.
	State, Reason string
	// Confirmed is the time at which the declared access was last confirmed; zero if it never was, or if the access is to end.
	Confirmed time.Time
	// Expires is the time at which the access ends; zero if it has no end, or has ended.
	Expires time.Time
	// Drifted: the platform shows another access than was confirmed.
	Drifted bool
	// Revoking is the reason why access that is to end was not seen gone; "" where none is to end.
	Revoking string
	// Due is the time at which the access was to end.
	Due time.Time
	// Unrevoked: it is to end because the binding has expired.
	Unrevoked bool
}

// APIConnection has the data of an APIConnection that the metrics need.
type APIConnection struct {
	// Name is namespace/name.
	Name string
	// Ready is the status of the condition Ready, and Reason its reason; "" without the condition.
	Ready  bool
	Reason string
	// Interval at which its bindings are confirmed.
	Interval time.Duration
	// TokenExpires is the expiry of the token in its Secret; zero when it is not known.
	TokenExpires time.Time
}

// Objects are all APIConnections and ClientBindings, as the operator sees them.
type Objects struct {
	Connections iter.Seq[APIConnection]
	Bindings    iter.Seq[Binding]
}

// soon is the time before its end in which access counts as expiring.
const soon = 24 * time.Hour

// NewCensus returns a collector that counts objects at each scrape: a deleted object leaves no series behind, and an age also grows
// while the operator does nothing, which is when it matters.
func NewCensus(objects func() Objects, now func() time.Time) prometheus.Collector {
	return &census{objects: objects, now: now}
}

type census struct {
	objects func() Objects
	now     func() time.Time
}

// Describe implements prometheus.Collector.
func (*census) Describe(descriptions chan<- *prometheus.Desc) {
	for _, definition := range []Definition{
		bindings, confirmationAge, drifted, pending, pendingAge, expiring, unrevoked, unrevokedAge, connectionReady, connectionInterval, tokenExpires,
	} {
		descriptions <- definition.desc()
	}
}

// group is a set of labels.
type group struct{ connection, state, reason string }

// tally is a number of bindings, and the earliest of their times.
type tally struct {
	count int
	first time.Time
}

type tallies map[group]tally

func (t tallies) add(counts bool, key group, since time.Time) {
	if !counts {
		return
	}
	of := t[key]
	of.count++
	if of.first.IsZero() || since.Before(of.first) {
		of.first = since
	}
	t[key] = of
}

// Collect implements prometheus.Collector.
func (c *census) Collect(metrics chan<- prometheus.Metric) {
	now, objects := c.now(), c.objects()
	byState, confirmed, revoking := tallies{}, tallies{}, tallies{}
	differing, ending, expired := tallies{}, tallies{}, tallies{}
	for connection := range objects.Connections {
		c.connection(metrics, connection)
		none := group{connection: connection.Name}
		differing[none], ending[none], expired[none] = tally{}, tally{}, tally{}
	}
	for binding := range objects.Bindings {
		of := group{connection: binding.Connection}
		byState.add(true, group{binding.Connection, binding.State, binding.Reason}, time.Time{})
		confirmed.add(!binding.Confirmed.IsZero(), of, binding.Confirmed)
		differing.add(binding.Drifted, of, time.Time{})
		ending.add(!binding.Expires.IsZero() && binding.Expires.Sub(now) <= soon, of, binding.Expires)
		revoking.add(binding.Revoking != "", group{connection: binding.Connection, reason: binding.Revoking}, binding.Due)
		expired.add(binding.Unrevoked, of, binding.Due)
	}
	age := func(of tally) float64 { return max(now.Sub(of.first), 0).Seconds() }
	for key, of := range byState {
		metrics <- bindings.measured(float64(of.count), key.connection, key.state, key.reason)
	}
	for key, of := range confirmed {
		metrics <- confirmationAge.measured(age(of), key.connection)
	}
	for key, of := range revoking {
		metrics <- pending.measured(float64(of.count), key.connection, key.reason)
		metrics <- pendingAge.measured(age(of), key.connection, key.reason)
	}
	for definition, counted := range map[*Definition]tallies{&drifted: differing, &expiring: ending, &unrevoked: expired} {
		for key, of := range counted {
			metrics <- definition.measured(float64(of.count), key.connection)
		}
	}
	for key, of := range expired {
		if of.count > 0 {
			metrics <- unrevokedAge.measured(age(of), key.connection)
		}
	}
}

func (*census) connection(metrics chan<- prometheus.Metric, connection APIConnection) {
	if connection.Reason != "" {
		ready := 0.
		if connection.Ready {
			ready = 1
		}
		metrics <- connectionReady.measured(ready, connection.Name, connection.Reason)
	}
	metrics <- connectionInterval.measured(connection.Interval.Seconds(), connection.Name)
	if !connection.TokenExpires.IsZero() {
		metrics <- tokenExpires.measured(float64(connection.TokenExpires.Unix()), connection.Name)
	}
}
