package e2e

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// TestMoveToAnotherNamespace follows docs/operations.md: the user has the access all the time.
func TestMoveToAnotherNamespace(t *testing.T) {
	from := newTenant(t, delossim.Config{Users: []delossim.User{{UUID: "user_0"}}, Clients: []string{"cust_1"}})
	to := newTenant(t, delossim.Config{})
	to.Platform = from.Platform
	from.connect(t)
	to.connect(t)
	runAlone(t)
	create(t, from.Binding("moved", "user_0", "cust_1", true))
	created := from.read(t, "moved").CreationTimestamp
	sandbox.Within(t, 30*time.Second, func() string {
		if !time.Now().Truncate(time.Second).After(created.Time) {
			return "of two that are created in the same second the name decides"
		}
		return from.Unbound(t, "moved")
	})

	create(t, to.Binding("moved", "user_0", "cust_1", true))
	sandbox.Within(t, 30*time.Second, func() string { return to.says(t, "moved", metav1.ConditionFalse, v1alpha1.ReasonConflict) })
	box.Delete(t, from.read(t, "moved"))
	sandbox.Within(t, 30*time.Second, func() string { return sandbox.First(from.gone(t, "moved"), to.Unbound(t, "moved")) })

	if diff := cmp.Diff([2]int{1, 0}, [2]int{from.Platform.Count(delossim.OpRelate), from.Platform.Count(delossim.OpUnrelate)}); diff != "" {
		t.Errorf("grants and removals (-want +got):\n%s", diff)
	}
}

// TestMoveToAnotherCluster follows docs/operations.md: the user has the access all the time, and neither operator writes to the platform.
func TestMoveToAnotherCluster(t *testing.T) {
	from := newTenant(t, delossim.Config{Users: []delossim.User{{UUID: "user_0"}}, Clients: []string{"cust_1"}})
	to := &tenant{newCluster(t).NewTenant(t, "moved", delossim.Config{})}
	to.Platform = from.Platform
	for _, n := range []*tenant{from, to} {
		n.connect(t)
		sandbox.Must(t, n.Operator.Start(t.Context(), verbose, "--leader-elect=false"))
		t.Cleanup(func() { sandbox.Must(t, n.Operator.Stop()) })
	}
	from.Create(t, from.Binding("moved", "user_0", "cust_1", true))
	sandbox.Within(t, 30*time.Second, func() string { return from.Unbound(t, "moved") })
	writes := func() [2]int {
		return [2]int{from.Platform.Count(delossim.OpRelate), from.Platform.Count(delossim.OpUnrelate)}
	}
	before := writes()

	from.Patch(t, from.Binding("moved", "", "", false), `{"spec":{"deletionPolicy":"Orphan"}}`)
	to.Create(t, to.Binding("moved", "user_0", "cust_1", true))
	sandbox.Within(t, 30*time.Second, func() string { return to.Unbound(t, "moved") })
	from.Delete(t, from.Binding("moved", "", "", false))
	sandbox.Within(t, 30*time.Second, func() string { return from.gone(t, "moved") })
	to.ask(t, "moved", "afterwards")
	sandbox.Within(t, 30*time.Second, func() string { return sandbox.First(to.asked(t, "moved", "afterwards"), to.Unbound(t, "moved")) })

	if diff := cmp.Diff(before, writes()); diff != "" {
		t.Errorf("grants and removals (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(v1alpha1.OriginAdopted, to.read(t, "moved").Status.Claim.Origin); diff != "" {
		t.Errorf("origin of the claim (-want +got):\n%s", diff)
	}

	// Now it is the new one that revokes.
	to.Delete(t, to.Binding("moved", "", "", false))
	sandbox.Within(t, 30*time.Second, func() string { return to.gone(t, "moved") })
	if diff := cmp.Diff(map[string]bool{}, from.Platform.Relations("user_0")); diff != "" {
		t.Errorf("access (-want +got):\n%s", diff)
	}
}
