package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// TestRestoreWithoutStatus restores objects as most tools do.
func TestRestoreWithoutStatus(t *testing.T) {
	n := newTenant(t, restorePlatform)
	restore(t, n, "True/Unclaimed", func() (restore func()) {
		backup := &v1alpha1.ClientBindingList{}
		if err := kube.List(t.Context(), backup, client.InNamespace(n.Namespace)); err != nil {
			t.Fatal(err)
		}
		return func() {
			for _, name := range []string{"kept", "promoted", "later"} {
				n.Patch(t, n.Binding(name, "", "", false), `{"metadata":{"finalizers":null}}`)
				n.Delete(t, n.Binding(name, "", "", false))
			}
			for _, binding := range backup.Items {
				n.Create(t, &v1alpha1.ClientBinding{
					ObjectMeta: metav1.ObjectMeta{Namespace: binding.Namespace, Name: binding.Name, Finalizers: binding.Finalizers}, Spec: binding.Spec,
				})
			}
		}
	})
}

// TestRestoreOfEtcd restores a snapshot with etcd's own programs, as in docs/operations.md.
func TestRestoreOfEtcd(t *testing.T) {
	n := &tenant{newCluster(t).NewTenant(t, "restored", restorePlatform)}
	snapshot := filepath.Join(n.Dir(), "snapshot.db")
	etcd := func(program string, args ...string) error {
		_, err := sandbox.Go(t.Context(), nil, append([]string{"tool", "-modfile=hack/tools/etcd/go.mod", program, "snapshot"}, args...)...)
		return err
	}
	restore(t, n, "True/Bound", func() (restore func()) {
		sandbox.Must(t, etcd("etcdctl", "save", snapshot, "--endpoints="+n.Cluster.Etcd))
		return func() {
			sandbox.Must(t, n.Cluster.Restart(func(data string) error {
				sandbox.Must(t, os.RemoveAll(data))
				return etcd("etcdutl", "restore", snapshot, "--data-dir="+data, "--bump-revision=1000000000", "--mark-compacted")
			}))
		}
	})
}

var restorePlatform = delossim.Config{
	Users: []delossim.User{{UUID: "kept"}, {UUID: "revoked"}, {UUID: "promoted"}, {UUID: "unwanted"}, {UUID: "later"}}, Clients: []string{"cust_1"},
}

// restore restores a backup that is older than the last changes. A dry run announces the changes, and then the operator makes exactly these. Access
// whose object is deleted during the dry run does not come back. Access from after the backup is no longer declared, and stays.
func restore(t *testing.T, n *tenant, asBefore string, backup func() (restore func())) {
	stop := func() { sandbox.Must(t, n.Operator.Stop()) }
	start := func(flags ...string) {
		sandbox.Must(t, n.Operator.Start(t.Context(), append(flags, verbose, "--leader-elect=false")...))
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
	n.connect(t)
	start()
	t.Cleanup(stop)
	names := []string{"kept", "promoted", "revoked", "unwanted"}
	for _, name := range names {
		n.Create(t, n.Binding(name, name, "cust_1", false))
	}
	sandbox.Within(t, 30*time.Second, bound(names...))
	bringBack := backup()
	n.Patch(t, n.Binding("promoted", "", "", false), `{"spec":{"isOwner":true}}`)
	n.Delete(t, n.Binding("revoked", "", "", false), n.Binding("unwanted", "", "", false))
	n.Create(t, n.Binding("later", "later", "cust_1", false))
	sandbox.Within(t, 30*time.Second, func() string {
		return sandbox.First(bound("promoted", "later")(), n.gone(t, "revoked"), n.gone(t, "unwanted"))
	})
	stop()
	bringBack()
	writes := func() [2]int {
		return [2]int{n.Platform.Count(delossim.OpRelate), n.Platform.Count(delossim.OpUnrelate)}
	}
	before := writes()

	start("--dry-run")
	for _, name := range names {
		n.ask(t, name, "dry")
	}
	sandbox.Within(t, 30*time.Second, func() string {
		said := map[string]string{}
		for _, name := range names {
			binding := n.read(t, name)
			ready := sandbox.Ready(binding.Status.Conditions)
			said[name] = string(ready.Status) + "/" + ready.Reason
			if ready.Status == metav1.ConditionFalse {
				said[name] += ": " + ready.Message
			}
			if binding.Status.LastHandledRequestedAt != "dry" {
				said[name] = "not looked at"
			}
		}
		return cmp.Diff(map[string]string{
			"kept":     asBefore,
			"promoted": `False/DryRun: Dry run. Get user shows that user "promoted" has owner access to client "cust_1"; without --dry-run the operator would demote the user to standard access`,
			"revoked":  `False/DryRun: Dry run. Get user shows that user "revoked" has no access to client "cust_1"; without --dry-run the operator would grant standard access`,
			"unwanted": `False/DryRun: Dry run. Get user shows that user "unwanted" has no access to client "cust_1"; without --dry-run the operator would grant standard access`,
		}, said)
	})
	if diff := cmp.Diff(before, writes()); diff != "" {
		t.Errorf("grants and removals of the dry run (-want +got):\n%s", diff)
	}

	n.Delete(t, n.Binding("unwanted", "", "", false))
	stop()
	start()
	sandbox.Within(t, 30*time.Second, func() string { return sandbox.First(bound("kept", "promoted", "revoked")(), n.gone(t, "unwanted")) })
	if diff := cmp.Diff(before[0]+2, writes()[0]); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
	access := map[string]map[string]bool{}
	for _, user := range n.Platform.Users() {
		access[user.UUID] = n.Platform.Relations(user.UUID)
	}
	standard := map[string]bool{"cust_1": false}
	if diff := cmp.Diff(map[string]map[string]bool{"kept": standard, "promoted": standard, "revoked": standard, "later": standard, "unwanted": {}}, access); diff != "" {
		t.Errorf("access (-want +got):\n%s", diff)
	}
}
