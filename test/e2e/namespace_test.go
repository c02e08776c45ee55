package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// population is the number of bindings of a deleted namespace.
const population = 50

// emptied is the time until a namespace is gone. Its controller looks again after some seconds.
const emptied = 2 * time.Minute

// A namespace that is deleted with all its objects, also the credentials, leaves no access behind:
// all access is revoked, and then the namespace goes.
func TestNamespaceIsDeleted(t *testing.T) {
	underDeployedOperator(t)
	n := newTenant(t, populated())
	n.populate(t)
	n.deleteNamespace(t)
	sandbox.Within(t, emptied, func() string { return sandbox.First(n.left(t), n.namespaceGone(t)) })
}

// The same when the operator is killed half-way: its successor still finds the credentials.
func TestNamespaceIsDeletedAndTheOperatorKilled(t *testing.T) {
	a := &assassin{killed: make(chan kill, 1)}
	config := populated()
	config.OnCall = a.onCall
	n := newTenant(t, config)
	runAlone(t)
	n.populate(t)
	a.aim(target{op: delossim.OpUnrelate, skip: population / 2})
	n.deleteNamespace(t)
	k := a.wait(t)
	if left := n.Platform.RelationCount(); left == 0 || left >= population {
		t.Errorf("killed after %s %s, when %d of %d relations were left: that is not half-way", k.call.Method, k.call.Path, left, population)
	}
	// A dead operator revokes nothing. The bindings and the credentials must stay, although the namespace's controller
	// has deleted everything by then.
	sandbox.Within(t, emptied, func() string {
		return sandbox.First(n.deleting(t, &v1alpha1.APIConnection{}, v1alpha1.DefaultConnectionName), n.deleting(t, &corev1.Secret{}, secretName))
	})
	startAlone(t)
	sandbox.Within(t, emptied, func() string { return sandbox.First(n.left(t), n.namespaceGone(t)) })
}

// A connection and its Secret that are deleted while bindings need them stay until the last binding is gone, so that
// the operator can revoke the access of each. Then they go.
func TestConnectionStaysWhileItIsInUse(t *testing.T) {
	underDeployedOperator(t)
	n := newTenant(t, crowd())
	n.connect(t)
	n.bindCrowd(t)
	sandbox.Within(t, 30*time.Second, func() string { return n.each(func(name string) string { return n.Unbound(t, name) }) })
	inUse := func() string {
		return sandbox.First(n.deleting(t, &v1alpha1.APIConnection{}, v1alpha1.DefaultConnectionName), n.deleting(t, &corev1.Secret{}, secretName))
	}
	for _, object := range []client.Object{n.connection(n.Platform.URL), n.secret(nil)} {
		if err := kube.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	for i := range waiting {
		if problem := inUse(); problem != "" {
			t.Fatalf("%d bindings are left: %s", waiting-i, problem)
		}
		name := fmt.Sprintf("binding-%d", i)
		if err := kube.Delete(t.Context(), n.Binding(name, "", "", true)); err != nil {
			t.Fatal(err)
		}
		sandbox.Within(t, 30*time.Second, func() string { return n.gone(t, name) })
		if left := n.Platform.RelationCount(); left != waiting-i-1 {
			t.Fatalf("%s is gone, and %d relations are left instead of %d", name, left, waiting-i-1)
		}
	}
	sandbox.Within(t, 30*time.Second, func() string {
		return sandbox.First(n.absent(t, &v1alpha1.APIConnection{}, v1alpha1.DefaultConnectionName), n.absent(t, &corev1.Secret{}, secretName))
	})
}

// An API that is gone for good keeps a deleted namespace until a person gives the access up. This also works in a
// namespace that is being deleted, and the log has a line.
func TestAccessIsGivenUpInADeletedNamespace(t *testing.T) {
	underDeployedOperator(t)
	n := newTenant(t, crowd())
	n.connect(t)
	n.bindCrowd(t)
	sandbox.Within(t, 30*time.Second, func() string { return n.each(func(name string) string { return n.Unbound(t, name) }) })
	if err := n.Platform.Stop(); err != nil {
		t.Fatal(err)
	}
	n.deleteNamespace(t)
	sandbox.Within(t, time.Minute, func() string { return n.each(func(name string) string { return n.blocked(t, name) }) })

	for i := range waiting {
		name := fmt.Sprintf("binding-%d", i)
		if _, err := cluster.Kubectl(t.Context(), "", "patch", "clientbinding", name, "--namespace", n.Namespace,
			"--type=merge", "--patch", `{"spec":{"deletionPolicy":"Orphan"}}`); err != nil {
			t.Fatal(err)
		}
	}
	sandbox.Within(t, emptied, func() string { return n.namespaceGone(t) })
	if left := n.Platform.RelationCount(); left != waiting {
		t.Errorf("%d relations are left on a platform that nobody could reach, want %d", left, waiting)
	}
	if problem := n.each(func(name string) string { return n.audited(t, name, "rphan") }); problem != "" {
		t.Error(problem)
	}
}

// populated is a platform with a client for many users.
func populated() delossim.Config {
	config := delossim.Config{Clients: []string{"cust_1"}}
	for i := range population {
		config.Users = append(config.Users, delossim.User{UUID: fmt.Sprintf("user_%d", i)})
	}
	return config
}

// populate connects and gives every user access.
func (n *tenant) populate(t *testing.T) {
	t.Helper()
	n.connect(t)
	for i := range population {
		create(t, n.Binding(fmt.Sprintf("binding-%d", i), fmt.Sprintf("user_%d", i), "cust_1", i%2 == 0))
	}
	sandbox.Within(t, time.Minute, func() string {
		for i := range population {
			if problem := n.Unbound(t, fmt.Sprintf("binding-%d", i)); problem != "" {
				return problem
			}
		}
		return ""
	})
}

// deleteNamespace deletes it and does not wait.
func (n *tenant) deleteNamespace(t *testing.T) {
	t.Helper()
	if err := kube.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n.Namespace}}); err != nil {
		t.Fatal(err)
	}
}

// left lists the remaining relations of the platform. A relation whose binding is gone fails the test.
func (n *tenant) left(t *testing.T) string {
	t.Helper()
	bindings := &v1alpha1.ClientBindingList{}
	if err := kube.List(t.Context(), bindings, client.InNamespace(n.Namespace)); err != nil {
		t.Fatal(err)
	}
	// The list is older than the answer of the platform, so it has the binding of each remaining relation.
	declared := map[string]bool{}
	for _, binding := range bindings.Items {
		declared[binding.Spec.UserUUID] = true
	}
	related := 0
	for _, user := range n.Platform.Users() {
		if len(user.Relations) == 0 {
			continue
		}
		related++
		if !declared[user.UUID] {
			t.Fatalf("the binding of %s is gone, and the access is not: %v", user.UUID, user.Relations)
		}
	}
	if related > 0 {
		return fmt.Sprintf("%d relations are left, and %d bindings, the first %s", related, len(bindings.Items),
			sandbox.Describe(sandbox.Ready(bindings.Items[0].Status.Conditions)))
	}
	return ""
}

// namespaceGone says why the namespace still exists; "" when it is gone.
func (n *tenant) namespaceGone(t *testing.T) string {
	t.Helper()
	namespace := &corev1.Namespace{}
	err := kube.Get(t.Context(), client.ObjectKey{Name: n.Namespace}, namespace)
	if apierrors.IsNotFound(err) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	keeps, err := json.Marshal(namespace.Status)
	if err != nil {
		t.Fatal(err)
	}
	return "the namespace is still there: " + string(keeps)
}

// deleting says that an object is gone or is not being deleted; "" when it is being deleted.
func (n *tenant) deleting(t *testing.T, object client.Object, name string) string {
	t.Helper()
	if err := kube.Get(t.Context(), client.ObjectKey{Namespace: n.Namespace, Name: name}, object); err != nil {
		return err.Error()
	}
	if object.GetDeletionTimestamp().IsZero() {
		return fmt.Sprintf("%T %s is not being deleted", object, name)
	}
	return ""
}

// absent says that an object exists; "" when it does not.
func (n *tenant) absent(t *testing.T, object client.Object, name string) string {
	t.Helper()
	err := kube.Get(t.Context(), client.ObjectKey{Namespace: n.Namespace, Name: name}, object)
	if apierrors.IsNotFound(err) {
		return ""
	}
	return fmt.Sprintf("%T %s is still there, kept by %v (%v)", object, name, object.GetFinalizers(), err)
}

// blocked says that a binding does not report a blocked revocation; "" when it does.
func (n *tenant) blocked(t *testing.T, name string) string {
	t.Helper()
	binding := &v1alpha1.ClientBinding{}
	if err := kube.Get(t.Context(), client.ObjectKey{Namespace: n.Namespace, Name: name}, binding); err != nil {
		t.Fatal(err)
	}
	return sandbox.NotReady(binding, binding.Status.Conditions, metav1.ConditionFalse, v1alpha1.ReasonRevocationBlocked)
}

// audited says that the log has no line of the audit that is about a binding and contains a text.
func (n *tenant) audited(t *testing.T, name, text string) string {
	t.Helper()
	log, err := operator.Log()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(log) {
		var entry struct{ Audit bool }
		if json.Unmarshal([]byte(line), &entry) != nil || !entry.Audit {
			continue
		}
		if strings.Contains(line, `"`+n.Namespace+"/"+name+`"`) && strings.Contains(line, text) {
			return ""
		}
	}
	return fmt.Sprintf("%s: the log has no line of the audit with %q", name, text)
}
