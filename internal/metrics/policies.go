package metrics

import "github.com/prometheus/client_golang/prometheus"

// Policy is what was found of one of the shipped admission policies.
type Policy struct {
	// Kind and Name are those of the policy.
	Kind, Name string
	// State is one of the reasons of the condition PoliciesEnforced of APIConnections.
	State string
	// Problem says in words why it is not known to be enforced; "" when it is.
	Problem string
}

// Policies tells which admission policies are enforced.
type Policies struct {
	list func() []Policy
	desc *prometheus.Desc
}

// NewPolicies returns a collector of what list returns.
func NewPolicies(list func() []Policy) *Policies {
	return &Policies{list: list, desc: prometheus.NewDesc(prometheus.BuildFQName(namespace, "", "admission_policies"),
		"1 for the state in which each of the shipped admission policies was found.", []string{"kind", "policy", "state"}, nil)}
}

// Describe implements prometheus.Collector.
func (p *Policies) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- p.desc }

// Collect implements prometheus.Collector.
func (p *Policies) Collect(metrics chan<- prometheus.Metric) {
	for _, policy := range p.list() {
		metrics <- prometheus.MustNewConstMetric(p.desc, prometheus.GaugeValue, 1, policy.Kind, policy.Name, policy.State)
	}
}
