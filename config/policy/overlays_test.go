package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

func rendered(t *testing.T, directory string) (names []string) {
	t.Helper()
	manifests, err := sandbox.Render(t.Context(), directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, policy := range policies(manifests) {
		names = append(names, policy.GetKind()+" "+policy.GetName())
	}
	slices.Sort(names)
	return names
}

// TestEveryPolicyIsBound: a policy without its binding has no effect.
func TestEveryPolicyIsBound(t *testing.T) {
	var all, bound []string
	for _, name := range rendered(t, "config/default") {
		if unbound, is := strings.CutSuffix(strings.Fields(name)[0], "Binding"); is {
			bound = append(bound, unbound+" "+strings.Fields(name)[1])
		} else {
			all = append(all, name)
		}
	}
	if diff := cmp.Diff(all, bound); diff != "" || len(all) == 0 {
		t.Errorf("-policies +bindings:\n%s", diff)
	}
}

// TestMutationCanBeLeftOut is for clusters whose API server does not know mutating policies.
func TestMutationCanBeLeftOut(t *testing.T) {
	var want []string
	for _, name := range rendered(t, "config/default") {
		if !strings.HasPrefix(name, "Mutating") && !strings.HasSuffix(name, "clientbinding-operator-requester") {
			want = append(want, name)
		}
	}
	got := rendered(t, overlay(t, "resources: [config/default]\ncomponents: [config/policy-requester/off, config/policy-finalizers/off]"))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
