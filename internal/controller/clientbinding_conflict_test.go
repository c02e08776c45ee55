package controller

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// otherBinding is a second binding of the same relation, in a namespace of the same world.
type otherBinding struct {
	*world
	key client.ObjectKey
}

// bindIn makes a binding of John and Acme that is younger than the world's own, or older by its name.
func (w *world) bindIn(namespace, name string, change func(*v1alpha1.ClientBinding)) *otherBinding {
	w.t.Helper()
	object := &v1alpha1.ClientBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.ClientBindingSpec{UserUUID: john, CUID: acme},
	}
	if change != nil {
		change(object)
	}
	w.create(object)
	return &otherBinding{w, client.ObjectKeyFromObject(object)}
}

func (r *otherBinding) reconcile() {
	r.t.Helper()
	object := &v1alpha1.ClientBinding{}
	if err := r.kube.Get(r.t.Context(), r.key, object); err == nil {
		r.reconcileUsageOf(ctrl.Request{NamespacedName: r.connections.Declared(object)})
	}
	if _, err := r.lookWith(r.t.Context(), r.key); err != nil {
		r.t.Fatal(err)
	}
}

func (r *otherBinding) get() *v1alpha1.ClientBinding {
	r.t.Helper()
	object := &v1alpha1.ClientBinding{}
	if err := r.kube.Get(r.t.Context(), r.key, object); err != nil {
		r.t.Fatal(err)
	}
	return object
}

func (r *otherBinding) ready() condition {
	r.t.Helper()
	return *meta.FindStatusCondition(r.get().Status.Conditions, v1alpha1.ConditionReady)
}

// The world's own binding is called "john"; the others sort behind it, which decides between bindings of one second.

func TestYoungerBindingOfARelationIsInConflict(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	second := w.bindIn(w.namespace, "second", func(b *v1alpha1.ClientBinding) { b.Spec.IsOwner = true })
	w.calls()

	second.reconcile()

	expectEqual(t, "reason", "Conflict", second.ready().Reason)
	expectEqual(t, "message", `The relation of user "user_abc123def" and client "cust_789xyz" is held by ClientBinding "john", which is older: delete one of the two`, second.ready().Message)
	expectEqual(t, "stalled", true, meta.IsStatusConditionTrue(second.get().Status.Conditions, "Stalled"))
	expectEqual(t, "claim", (*v1alpha1.Claim)(nil), second.get().Status.Claim)
	expectEqual(t, "calls", operations(nil), w.calls())
}

func TestConflictAcrossNamespacesTellsNoName(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	elsewhere := w.anotherNamespace()
	second := w.bindIn(elsewhere, "second", nil)

	second.reconcile()

	expectEqual(t, "message", `The relation of user "user_abc123def" and client "cust_789xyz" is held by a ClientBinding in another namespace, which is older: delete one of the two`, second.ready().Message)
}

func TestDeletingTheYoungerRevokesNothing(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.Suspend = ref(true) })
	second := w.bindIn(w.namespace, "second", nil)
	second.reconcile() // The older one never left suspension and holds nothing.
	expectEqual(t, "reason of the younger", "Bound", second.ready().Reason)
	binding := w.binding()
	w.edit(binding, func() { binding.Spec.Suspend = nil })
	w.reconcile()
	w.calls()
	if err := w.kube.Delete(t.Context(), second.get()); err != nil {
		t.Fatal(err)
	}
	w.events()

	second.reconcile()

	expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
	expectEqual(t, "calls", operations{opUser}, w.calls())
	expectEqual(t, "events", []string{`Normal HandedOver Nothing was revoked: the relation of user "user_abc123def" and client "cust_789xyz" is held by ClientBinding "john"`}, w.events())
}

// TestHandover shows that the deletion of the holder leaves no gap, and no access of a kind that nobody declares.
func TestHandover(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.IsOwner = true })
	w.reconcile()
	second := w.bindIn(w.namespace, "second", nil)
	second.reconcile()
	w.delete()
	w.calls()

	w.reconcile()

	expectEqual(t, "reason of the other", "Bound", second.ready().Reason)

	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
	expectEqual(t, "calls", operations{opUser, opRelate, opUser}, w.calls())
	expectEqual(t, "origin for the other", v1alpha1.OriginAdopted, second.get().Status.Claim.Origin)
}

// TestNoHolder shows which bindings do not take a relation over, so that the relation is revoked.
func TestNoHolder(t *testing.T) {
	cases := map[string]func(*world){
		"one that never left suspension": func(w *world) {
			w.bindIn(w.namespace, "second", func(b *v1alpha1.ClientBinding) { b.Spec.Suspend = ref(true) }).reconcile()
		},
		"one without a connection": func(w *world) {
			w.bindIn(w.namespace, "second", func(b *v1alpha1.ClientBinding) {
				b.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: "other"}
			}).reconcile()
		},
		"one whose connection it may not use": func(w *world) {
			w.bindIn(w.anotherNamespace(), "second", func(b *v1alpha1.ClientBinding) {
				b.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: "default", Namespace: w.namespace}
			}).reconcile()
		},
		"one of another API": func(w *world) {
			w.createConnection(func(c *v1alpha1.APIConnection) { c.Name, c.Spec.URL = "other", "https://elsewhere.example" })
			w.bindIn(w.namespace, "second", func(b *v1alpha1.ClientBinding) {
				b.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: "other"}
			})
		},
		"one that is being deleted": func(w *world) {
			second := w.bindIn(w.namespace, "second", func(b *v1alpha1.ClientBinding) { b.Finalizers = []string{"example.com/kept"} })
			if err := w.kube.Delete(w.t.Context(), second.get()); err != nil {
				w.t.Fatal(err)
			}
		},
	}
	for name, arrange := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.bind(nil)
			w.reconcile()
			arrange(w)
			w.delete()

			w.reconcile()

			expectEqual(t, "gone", true, w.gone())
			expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
		})
	}
}

// TestHolderThatGoesToo shows that access is revoked when both bindings are deleted before the one could take over.
func TestHolderThatGoesToo(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	second := w.bindIn(w.namespace, "second", nil)
	second.reconcile()
	w.delete()
	w.reconcile()
	if err := w.kube.Delete(t.Context(), second.get()); err != nil {
		t.Fatal(err)
	}
	second.reconcile()

	w.reconcile()

	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
}

// anotherNamespace makes a second namespace, which sorts behind the first, with a connection of its own to the same platform.
func (w *world) anotherNamespace() string {
	w.t.Helper()
	return w.connectedNamespace("zz-")
}

// connectedNamespace makes a namespace with a connection of its own, which nobody has looked at, to the same platform.
func (w *world) connectedNamespace(prefix string) string {
	w.t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix}}
	w.create(namespace)
	w.createConnection(func(c *v1alpha1.APIConnection) { c.Namespace = namespace.Name })
	return namespace.Name
}

// TestWhoMayNotHoldARelation shows that nobody keeps others from a relation, or a user's access alive, by declaring it
// through a connection that does not allow that or does not work.
func TestWhoMayNotHoldARelation(t *testing.T) {
	for name, declare := range map[string]func(*world) *otherBinding{
		"through a connection that does not serve the namespace": func(w *world) *otherBinding { return w.bindTeam(nil) },
		"through a connection that is not there": func(w *world) *otherBinding {
			return w.bindTeam(func(b *v1alpha1.ClientBinding) { b.Spec.ConnectionRef.Name = "other" })
		},
		"through a connection of its own that names the same API and does not work": func(w *world) *otherBinding {
			elsewhere := w.connectedNamespace("aa-")
			w.reconcileConnectionAt(client.ObjectKey{Namespace: elsewhere, Name: "default"})
			return w.bindIn(elsewhere, "john", nil)
		},
		"through a connection that does not allow the client": func(w *world) *otherBinding {
			elsewhere := w.openNamespace(&v1alpha1.Allowed{CUIDs: []string{"other"}})
			return w.bindIn(elsewhere, "john", nil)
		},
		"as an owner, through a connection that makes none": func(w *world) *otherBinding {
			elsewhere := w.openNamespace(&v1alpha1.Allowed{Owner: ref(false)})
			return w.bindIn(elsewhere, "john", owner)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			first := declare(w)
			first.reconcile()
			w.bind(nil)

			w.reconcile()
			expectEqual(t, "reason of the younger", "Bound", w.reason())
			first.reconcile()
			w.delete()
			w.reconcile()

			expectEqual(t, "gone at once", true, w.gone())
			expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
			expectEqual(t, "claim of the older", (*v1alpha1.Claim)(nil), first.get().Status.Claim)
		})
	}
}

// TestHolderThatIsNoLongerAllowed shows that its relation goes to the next in line, and that its deletion then revokes
// nothing.
func TestHolderThatIsNoLongerAllowed(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.share(&v1alpha1.Allowed{Namespaces: allNamespaces()})
	first := w.bindTeam(owner)
	first.reconcile()
	w.bind(nil)
	w.reconcile()
	expectEqual(t, "reason of the second", "Conflict", w.reason())
	w.share(&v1alpha1.Allowed{Namespaces: allNamespaces(), Owner: ref(false)})

	first.reconcile()
	w.reconcile()
	expectEqual(t, "reason of the first", "NotAllowed", first.ready().Reason)
	expectEqual(t, "reason of the second", "Bound", w.reason())
	w.clock.Advance(time.Minute)
	if err := w.kube.Delete(t.Context(), first.get()); err != nil {
		t.Fatal(err)
	}
	first.reconcile()

	expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
}

// openNamespace makes a namespace, which sorts before the world's, with a Secret and a connection that works, for what it allows.
func (w *world) openNamespace(allowed *v1alpha1.Allowed) string {
	w.t.Helper()
	elsewhere := w.connectedNamespace("aa-")
	w.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: elsewhere, Name: "delos-credentials"},
		StringData: map[string]string{"login": login, "password": password},
	})
	key := client.ObjectKey{Namespace: elsewhere, Name: "default"}
	connection := &v1alpha1.APIConnection{}
	if err := w.kube.Get(w.t.Context(), key, connection); err != nil {
		w.t.Fatal(err)
	}
	w.edit(connection, func() { connection.Spec.Allowed = allowed })
	w.reconcileConnectionAt(key)
	return elsewhere
}
