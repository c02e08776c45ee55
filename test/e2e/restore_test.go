package e2e

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// TestRestore restores ClientBindings from a backup that is older than the last changes, as docs/operations.md says: a dry run tells what would be
// done, and then that is done and nothing else. What was made after the backup is declared by nobody, and stays.
func TestRestore(t *testing.T) {
	for name, withStatus := range map[string]bool{"without status, as most tools do": false, "with status, as from a snapshot of etcd": true} {
		t.Run(name, func(t *testing.T) { restore(t, withStatus) })
	}
}

func restore(t *testing.T, withStatus bool) {
	n := newTenant(t, delossim.Config{
		Users: []delossim.User{{UUID: "kept"}, {UUID: "revoked"}, {UUID: "promoted"}, {UUID: "later"}}, Clients: []string{"cust_1"},
	})
	n.connect(t)
	runAlone(t)
	names := []string{"kept", "promoted", "revoked"}
	for _, name := range names {
		create(t, n.Binding(name, name, "cust_1", false))
	}
	bound := func(names ...string) func() string {
		return func() string {
			for _, name := range names {
				if problem := n.Unbound(t, name); problem != "" {
					return problem
				}
			}
			return ""
		}
	}
	sandbox.Within(t, 30*time.Second, bound(names...))
	backup := &v1alpha1.ClientBindingList{}
	if err := kube.List(t.Context(), backup, client.InNamespace(n.Namespace)); err != nil {
		t.Fatal(err)
	}
	patch(t, n.read(t, "promoted"), `{"spec":{"isOwner":true}}`)
	box.Delete(t, n.read(t, "revoked"))
	create(t, n.Binding("later", "later", "cust_1", false))
	sandbox.Within(t, 30*time.Second, func() string { return sandbox.First(bound("promoted", "later")(), n.gone(t, "revoked")) })

	if err := operator.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kept", "promoted", "later"} {
		patch(t, n.read(t, name), `{"metadata":{"finalizers":null}}`)
		box.Delete(t, n.read(t, name))
	}
	for i := range backup.Items {
		restored := &backup.Items[i]
		status := restored.Status
		restored.ObjectMeta = metav1.ObjectMeta{Namespace: restored.Namespace, Name: restored.Name, Finalizers: restored.Finalizers}
		create(t, restored)
		if withStatus {
			restored.Status = status
			if err := kube.Status().Update(t.Context(), restored); err != nil {
				t.Fatal(err)
			}
		}
	}
	writes := func() [2]int {
		return [2]int{n.Platform.Count(delossim.OpRelate), n.Platform.Count(delossim.OpUnrelate)}
	}
	before := writes()

	if err := operator.Start(t.Context(), verbose, "--leader-elect=false", "--dry-run"); err != nil {
		t.Fatal(err)
	}
	asBefore := v1alpha1.ReasonUnclaimed
	if withStatus {
		asBefore = v1alpha1.ReasonBound
	}
	for _, name := range names {
		n.ask(t, name, "dry")
	}
	sandbox.Within(t, 30*time.Second, func() string {
		return sandbox.First(
			n.says(t, "kept", metav1.ConditionTrue, asBefore),
			n.says(t, "promoted", metav1.ConditionFalse, v1alpha1.ReasonDryRun),
			n.says(t, "revoked", metav1.ConditionFalse, v1alpha1.ReasonDryRun),
		)
	})
	if diff := cmp.Diff(before, writes()); diff != "" {
		t.Errorf("grants and removals of the dry run (-want +got):\n%s", diff)
	}

	if err := operator.Stop(); err != nil {
		t.Fatal(err)
	}
	startAlone(t)
	sandbox.Within(t, 30*time.Second, bound(names...))
	if diff := cmp.Diff([2]int{before[0] + 2, before[1]}, writes()); diff != "" {
		t.Errorf("grants and removals (-want +got):\n%s", diff)
	}
	for _, name := range append(names, "later") {
		if diff := cmp.Diff(map[string]bool{"cust_1": false}, n.Platform.Relations(name)); diff != "" {
			t.Errorf("access of %s (-want +got):\n%s", name, diff)
		}
	}
}
