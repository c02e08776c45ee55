package metrics

import "github.com/prometheus/client_golang/prometheus"

// Policy is the state of one of the shipped admission policies.
type Policy struct {
	// Kind and Name of the policy.
	Kind, Name string
	// State is one of the reasons of the condition PoliciesEnforced of APIConnections.
	State string
	// Problem says in words why it is not known to be enforced; "" when it is.
	Problem string
}

// Policies is a collector of the states of the admission policies.
type Policies struct {
	list func() []Policy
}

// NewPolicies returns a collector of the policies that list returns.
func NewPolicies(list func() []Policy) *Policies {
	return &Policies{list: list}
}

// Describe implements prometheus.Collector.
func (p *Policies) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- admissionPolicies.desc()
}

// Collect implements prometheus.Collector.
func (p *Policies) Collect(metrics chan<- prometheus.Metric) {
	for _, policy := range p.list() {
		metrics <- admissionPolicies.measured(1, policy.Kind, policy.Name, policy.State)
	}
}
