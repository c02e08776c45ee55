package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

const forgery = "the API server writes the annotation access.delos.financial/requested-by, which names the last account that changed the spec: leave it out"

// stamped reads the annotation of the requester.
func stamped(t *testing.T, of client.Object) string {
	t.Helper()
	found := &v1alpha1.ClientBinding{}
	if err := kube.Get(t.Context(), key(of), found); err != nil {
		t.Fatal(err)
	}
	return found.Annotations[v1alpha1.RequestedByAnnotation]
}

func stampOf(name string) map[string]string {
	return map[string]string{v1alpha1.RequestedByAnnotation: name}
}

func newGranter(t *testing.T, namespace, name string) user {
	t.Helper()
	return newRequester(t, namespace, name, may("grant", "clientbindings/owner"), may("grant", "clientbindings/standard"))
}

func TestRequesterIsStamped(t *testing.T) {
	namespace := newNamespace(t)
	ann, bob := newGranter(t, namespace, "ann@example.com"), newGranter(t, namespace, "bob@example.com")
	itself := newUser(t, operator)
	of := binding(namespace, "trial", "C-1001", true)

	for _, step := range []struct {
		reason string
		do     func() error
		want   string
	}{
		{"creation", func() error { return ann.Create(t.Context(), of.DeepCopy()) }, ann.name},
		{"labels", func() error { return bob.edit(t, of, `{"metadata":{"labels":{"team":"a"}}}`) }, ann.name},
		{"other annotations", func() error { return bob.edit(t, of, `{"metadata":{"annotations":{"note":"a"}}}`) }, ann.name},
		{"the operator's finalizer", func() error {
			return itself.edit(t, of, `{"metadata":{"finalizers":["access.delos.financial/revoke"]}}`)
		}, ann.name},
		{"the operator's report", func() error {
			return itself.Status().Patch(t.Context(), of.DeepCopy(), statusPatch(`{"access":"Owner"}`))
		}, ann.name},
		{"taking the stamp away", func() error { return bob.edit(t, of, `{"metadata":{"annotations":null}}`) }, ann.name},
		{"another spec", func() error { return bob.edit(t, of, `{"spec":{"isOwner":false}}`) }, bob.name},
		{"another spec, with the stamp as it was read", func() error {
			return ann.edit(t, of, `{"spec":{"isOwner":true},"metadata":{"annotations":{"access.delos.financial/requested-by":"bob@example.com"}}}`)
		}, ann.name},
		{"deletion", func() error { return bob.Delete(t.Context(), of) }, ann.name},
	} {
		check(t, step.do(), "")
		if got := stamped(t, of); got != step.want {
			t.Errorf("%s: requested by %q, want %q", step.reason, got, step.want)
		}
	}
}

func TestStampCannotBeForged(t *testing.T) {
	namespace := newNamespace(t)
	ann, bob := newGranter(t, namespace, "ann"), newGranter(t, namespace, "bob")
	of := binding(namespace, "trial", "C-1001", true)
	// The policy replaces another name in a changed object, because people copy manifests.
	of.Annotations = stampOf("ann")
	check(t, bob.Create(t.Context(), of.DeepCopy()), "")
	if got := stamped(t, of); got != "bob" {
		t.Errorf("requested by %q, want bob", got)
	}
	want := refusal(of, "requester", forgery)
	for _, edit := range []string{
		`{"metadata":{"annotations":{"access.delos.financial/requested-by":"ann"}}}`,
		`{"metadata":{"annotations":{"access.delos.financial/requested-by":""}}}`,
	} {
		check(t, ann.edit(t, of, edit), want)
		check(t, bob.edit(t, of, edit), want)
	}
	// Also for an administrator, whom no role limits.
	check(t, user{"admin", kube}.edit(t, of, `{"metadata":{"annotations":{"access.delos.financial/requested-by":"ann"}}}`), want)
	if got := stamped(t, of); got != "bob" {
		t.Errorf("requested by %q, want bob", got)
	}
}

// TestForgeryIsRefusedWithoutTheStamp: the validating policy does not depend on the mutating one.
func TestForgeryIsRefusedWithoutTheStamp(t *testing.T) {
	withoutMutation(t, "requester")
	namespace := newNamespace(t)
	ann, bob := newGranter(t, namespace, "ann"), newGranter(t, namespace, "bob")
	of := binding(namespace, "trial", "C-1001", true)
	of.Annotations = stampOf("ann")
	want := refusal(of, "requester", forgery)
	check(t, bob.Create(t.Context(), of.DeepCopy()), want)
	check(t, ann.Create(t.Context(), of.DeepCopy()), "")
	check(t, bob.edit(t, of, `{"metadata":{"labels":{"team":"a"}}}`), "")
	check(t, bob.edit(t, of, `{"metadata":{"annotations":null}}`), want)
	check(t, bob.edit(t, of, `{"spec":{"isOwner":false}}`), want)
	check(t, bob.edit(t, of, `{"spec":{"isOwner":false},"metadata":{"annotations":{"access.delos.financial/requested-by":"bob"}}}`), "")
}

// TestStampMakesNoDifferenceToGitOps applies a manifest from Git again and again, in each of the ways of kubectl, Argo
// CD and Flux.
func TestStampMakesNoDifferenceToGitOps(t *testing.T) {
	namespace := newNamespace(t)
	argo := newGranter(t, namespace, "argo")
	of := binding(namespace, "applied", "C-1001", true)
	of.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ClientBinding"))
	serverSide := func(options ...client.ApplyOption) error {
		return argo.Apply(t.Context(), applyConfiguration(t, of), append(options, client.FieldOwner("argocd-controller"))...)
	}

	// Twice, since the API server counts the first repetition of a creation as a change, with policies or without.
	check(t, serverSide(), "")
	check(t, serverSide(), "")
	first := &v1alpha1.ClientBinding{}
	if err := kube.Get(t.Context(), key(of), first); err != nil {
		t.Fatal(err)
	}
	if got := first.Annotations[v1alpha1.RequestedByAnnotation]; got != "argo" {
		t.Errorf("requested by %q, want argo", got)
	}
	for _, way := range []struct {
		reason string
		do     func() error
	}{
		{"the same server-side", func() error { return serverSide() }},
		{"the same as a dry run", func() error { return serverSide(client.DryRunAll) }},
		{"the same by force", func() error { return serverSide(client.ForceOwnership) }},
		{"a patch of what differs", func() error { return argo.edit(t, of, `{}`) }},
		{"a replacement", func() error {
			replacement := of.DeepCopy()
			replacement.ResourceVersion = first.ResourceVersion
			return argo.Update(t.Context(), replacement, client.FieldOwner("argocd-controller"))
		}},
	} {
		check(t, way.do(), "")
		after := &v1alpha1.ClientBinding{}
		if err := kube.Get(t.Context(), key(of), after); err != nil {
			t.Fatal(err)
		}
		if way.reason == "a replacement" { // tells another manager and another operation
			after.ManagedFields, after.ResourceVersion = first.ManagedFields, first.ResourceVersion
		}
		if diff := cmp.Diff(first, after); diff != "" {
			t.Errorf("%s: -first +after:\n%s", way.reason, diff)
		}
	}
}

func TestStampOfAnObjectWithEmptyAnnotations(t *testing.T) {
	namespace := newNamespace(t)
	for name, annotations := range map[string]any{"null": nil, "empty": map[string]any{}, "others": map[string]any{"a": "b"}} {
		of := applied(namespace, name)
		of.Object["metadata"].(map[string]any)["annotations"] = annotations
		check(t, kube.Create(t.Context(), of), "")
		if got := stamped(t, of); got == "" {
			t.Errorf("%s: no stamp", name)
		}
	}
}
