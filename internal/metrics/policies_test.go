package metrics

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestPolicies(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewPolicies(func() []Policy {
		return []Policy{
			{Kind: "ValidatingAdmissionPolicy", Name: "grants", State: "NotEnforced", Problem: "it is missing"},
			{Kind: "ValidatingAdmissionPolicy", Name: "orphans", State: "Enforced"},
		}
	}))

	want := `
clientbinding_admission_policies{kind="ValidatingAdmissionPolicy",policy="grants",state="NotEnforced"} 1
clientbinding_admission_policies{kind="ValidatingAdmissionPolicy",policy="orphans",state="Enforced"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(explained(want))); err != nil {
		t.Error(err)
	}
}
