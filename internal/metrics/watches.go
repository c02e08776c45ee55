package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// NewWatches returns a collector that tells for each kind whether the operator sees no changes of it. problems returns these
// kinds.
func NewWatches(kinds []string, problems func() map[string]error) prometheus.Collector {
	return &watches{kinds: kinds, problems: problems}
}

type watches struct {
	kinds    []string
	problems func() map[string]error
}

// Describe implements prometheus.Collector.
func (w *watches) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- watchFailing.desc() }

// Collect implements prometheus.Collector.
func (w *watches) Collect(metrics chan<- prometheus.Metric) {
	problems := w.problems()
	for _, kind := range w.kinds {
		value := 0.
		if problems[kind] != nil {
			value = 1
		}
		metrics <- watchFailing.measured(value, kind)
	}
}
