package e2e

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// A dry run reports the access and the changes that the operator would make, and writes only statuses. Without the flag the operator makes these changes.
func TestDryRun(t *testing.T) {
	before := newTenant(t, delossim.Config{Users: []delossim.User{{UUID: "user_0"}, {UUID: "user_1"}}, Clients: []string{"cust_1"}})
	before.connect(t)
	runAlone(t)
	leaving, ending := before.Binding("leaving", "user_0", "cust_1", true), before.Binding("ending", "user_1", "cust_1", false)
	create(t, leaving)
	create(t, ending)
	sandbox.Within(t, 30*time.Second, func() string { return sandbox.First(before.Unbound(t, "leaving"), before.Unbound(t, "ending")) })
	if err := operator.Stop(); err != nil {
		t.Fatal(err)
	}
	made := before.Platform.Count(delossim.OpRelate)
	patch(t, ending, `{"spec":{"expiresAt":"`+time.Now().Add(time.Second).UTC().Format(time.RFC3339)+`"}}`)
	if err := kube.Delete(t.Context(), leaving); err != nil {
		t.Fatal(err)
	}
	n := newTenant(t, delossim.Config{
		Users: []delossim.User{
			{UUID: "user_0"}, {UUID: "user_1", Relations: map[string]bool{"cust_1": true}}, {UUID: "user_2", Relations: map[string]bool{"cust_1": false}},
		},
		Clients: []string{"cust_1"},
	})
	n.connect(t)

	if err := operator.Start(t.Context(), verbose, "--leader-elect=false", "--dry-run"); err != nil {
		t.Fatal(err)
	}
	create(t, n.Binding("lacking", "user_0", "cust_1", true))
	create(t, n.Binding("there", "user_1", "cust_1", true))
	create(t, n.Binding("differing", "user_2", "cust_1", true))
	sandbox.Within(t, 30*time.Second, func() string {
		return sandbox.First(
			n.says(t, "lacking", metav1.ConditionFalse, v1alpha1.ReasonDryRun),
			n.says(t, "there", metav1.ConditionTrue, v1alpha1.ReasonUnclaimed),
			n.says(t, "differing", metav1.ConditionFalse, v1alpha1.ReasonDryRun),
			before.says(t, "leaving", metav1.ConditionFalse, v1alpha1.ReasonDryRun),
			before.says(t, "ending", metav1.ConditionFalse, v1alpha1.ReasonDryRun),
			n.counts(t, 3),
		)
	})

	for _, name := range []string{"lacking", "there", "differing"} {
		if diff := cmp.Diff(memory{}, n.memory(t, name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, name := range []string{"leaving", "ending"} {
		if diff := cmp.Diff(memory{Finalizers: []string{v1alpha1.RevokeFinalizer}, Claimed: true}, before.memory(t, name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	connection, secret := &v1alpha1.APIConnection{ObjectMeta: n.Meta(v1alpha1.DefaultConnectionName)}, &corev1.Secret{ObjectMeta: n.Meta(secretName)}
	for _, object := range []client.Object{connection, secret} {
		if err := kube.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			t.Fatal(err)
		}
		if len(object.GetFinalizers()) > 0 {
			t.Errorf("%T has the finalizers %v", object, object.GetFinalizers())
		}
	}
	if len(connection.Status.ProtectedSecrets) > 0 {
		t.Errorf("the connection protects %v", connection.Status.ProtectedSecrets)
	}
	for platform, want := range map[*tenant][2]int{n: {0, 0}, before: {made, 0}} {
		if got := [2]int{platform.Platform.Count(delossim.OpRelate), platform.Platform.Count(delossim.OpUnrelate)}; got != want {
			t.Errorf("grants and removals are %v, want %v", got, want)
		}
	}

	if err := operator.Stop(); err != nil {
		t.Fatal(err)
	}
	startAlone(t)
	sandbox.Within(t, 30*time.Second, func() string {
		return sandbox.First(n.Unbound(t, "lacking"), n.Unbound(t, "there"), n.Unbound(t, "differing"), before.gone(t, "leaving"), before.expired(t, "ending"))
	})
	if related := before.Platform.Relations("user_0"); len(related) > 0 {
		t.Errorf("user_0 still has %v", related)
	}
}

// memory is the operator's own state of a binding, without the read access.
type memory struct {
	Finalizers       []string
	Claimed, Expired bool
}

func (n *tenant) memory(t *testing.T, name string) memory {
	t.Helper()
	binding := n.read(t, name)
	return memory{binding.Finalizers, binding.Status.Claim != nil, binding.Status.ExpiredTime != nil}
}

func (n *tenant) read(t *testing.T, name string) *v1alpha1.ClientBinding {
	t.Helper()
	binding := &v1alpha1.ClientBinding{}
	if err := n.Kube.Get(t.Context(), client.ObjectKey{Namespace: n.Namespace, Name: name}, binding); err != nil {
		t.Fatal(err)
	}
	return binding
}

// says describes the difference between a binding's Ready and the wanted one; "" if there is none.
func (n *tenant) says(t *testing.T, name string, status metav1.ConditionStatus, reason string) string {
	t.Helper()
	binding := n.read(t, name)
	if problem := sandbox.NotReady(binding, binding.Status.Conditions, status, reason); problem != "" {
		return name + ": " + problem
	}
	return ""
}

// counts says that the connection does not count its bindings yet; "" when it does.
func (n *tenant) counts(t *testing.T, want int32) string {
	t.Helper()
	connection := &v1alpha1.APIConnection{}
	if err := n.Kube.Get(t.Context(), client.ObjectKey{Namespace: n.Namespace, Name: v1alpha1.DefaultConnectionName}, connection); err != nil {
		t.Fatal(err)
	}
	return cmp.Diff(&want, connection.Status.Bindings)
}
