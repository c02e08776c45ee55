package controller

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// In these tests the world's namespace belongs to a platform team, and other teams may use its connection or not. Each of
// these has a binding in a namespace of its own.

// bindTeam makes a namespace of the division "bank", which sorts before the world's, and in it a binding of John and Acme through the world's connection.
func (w *world) bindTeam(change func(*v1alpha1.ClientBinding)) *otherBinding {
	w.t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "aa-team-", Labels: map[string]string{"division": "bank"}}}
	w.create(namespace)
	return w.bindIn(namespace.Name, "john", func(b *v1alpha1.ClientBinding) {
		b.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: "default", Namespace: w.namespace}
		if change != nil {
			change(b)
		}
	})
}

// share edits what the world's connection allows.
func (w *world) share(allowed *v1alpha1.Allowed) {
	w.t.Helper()
	connection := w.connection()
	w.edit(connection, func() { connection.Spec.Allowed = allowed })
}

// look reconciles a team's binding and returns its whole status and when it is looked at again.
func (r *otherBinding) look() (v1alpha1.ClientBindingStatus, time.Duration) {
	r.t.Helper()
	r.reconcileUsageOf(ctrl.Request{NamespacedName: r.connections.Declared(r.get())})
	result, err := r.lookWith(r.t.Context(), r.key)
	if err != nil {
		r.t.Fatal(err)
	}
	binding := r.get()
	r.assertKStatus(binding, binding.Status.Conditions)
	return binding.Status, result.RequeueAfter
}

// notAllowed is the status of a binding that may not use its connection and never could.
func notAllowed(message string) v1alpha1.ClientBindingStatus {
	conditions := stuck("NotAllowed", message, 0, 0)
	for i := range conditions {
		conditions[i].ObservedGeneration = 1
	}
	return v1alpha1.ClientBindingStatus{ObservedGeneration: 1, Conditions: conditions}
}

func allNamespaces() *v1alpha1.AllowedNamespaces {
	return &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesAll}
}

func division(name string) *v1alpha1.AllowedNamespaces {
	return &v1alpha1.AllowedNamespaces{
		From:     v1alpha1.NamespacesSelector,
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"division": name}},
	}
}

func owner(b *v1alpha1.ClientBinding) { b.Spec.IsOwner = true }

func suspended(b *v1alpha1.ClientBinding) { b.Spec.Suspend = ref(true) }

// closed is the message to a team about a connection that does not serve its namespace, or does not exist.
func (r *otherBinding) closed() string {
	return "There is no APIConnection " + r.namespace + "/default that allows ClientBindings of namespace " + r.key.Namespace +
		": ask those who manage namespace " + r.namespace + ", or delete this ClientBinding"
}

func (w *world) deniesClient() string {
	return "APIConnection " + w.namespace + `/default does not allow access to client "cust_789xyz" (spec.allowed.cuids): ask those who may edit it, or delete this ClientBinding`
}

func (w *world) deniesOwners() string {
	return "APIConnection " + w.namespace + "/default does not allow to make users owners (spec.allowed.owner): set isOwner to false, ask those who may edit the APIConnection, or delete this ClientBinding"
}

// TestPermit shows that nothing is read or granted, and no finalizer set, for whom a connection does not allow.
func TestPermit(t *testing.T) {
	closed := (*otherBinding).closed
	cuid := func(r *otherBinding) string { return r.deniesClient() }
	owners := func(r *otherBinding) string { return r.deniesOwners() }
	for _, test := range []struct {
		reason  string
		allowed *v1alpha1.Allowed
		binding func(*v1alpha1.ClientBinding)
		want    func(*otherBinding) string // nil when it is bound
	}{
		{"nothing is said", nil, nil, closed},
		{"Same", &v1alpha1.Allowed{Namespaces: &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesSame}}, nil, closed},
		{"All", &v1alpha1.Allowed{Namespaces: allNamespaces()}, nil, nil},
		{"a selector that matches", &v1alpha1.Allowed{Namespaces: division("bank")}, nil, nil},
		{"a selector that does not match", &v1alpha1.Allowed{Namespaces: division("sales")}, nil, closed},
		{"a glob of the client", &v1alpha1.Allowed{Namespaces: allNamespaces(), CUIDs: []string{"cust_*"}}, nil, nil},
		{"other clients", &v1alpha1.Allowed{Namespaces: allNamespaces(), CUIDs: []string{"other_*", "cust_7"}}, nil, cuid},
		{"no owners", &v1alpha1.Allowed{Namespaces: allNamespaces(), Owner: ref(false)}, owner, owners},
		{"no owners, for one who is not to be", &v1alpha1.Allowed{Namespaces: allNamespaces(), Owner: ref(false)}, nil, nil},
		{"suspended, which would show the user", nil, suspended, closed},
		{"suspended, for a client of others", &v1alpha1.Allowed{Namespaces: allNamespaces(), CUIDs: []string{"other_*"}}, suspended, cuid},
		{"expired, which would show the user", nil, until(-time.Minute), closed},
	} {
		t.Run(test.reason, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.share(test.allowed)
			w.platform.SetRelation(john, globex, true)
			binding := w.bindTeam(test.binding)

			got, _ := binding.look()

			if test.want == nil {
				expectEqual(t, "reason", "Bound", binding.ready().Reason)
				expectEqual(t, "relations", map[string]bool{globex: true, acme: false}, w.platform.Relations(john))
				return
			}
			want := notAllowed(test.want(binding))
			want.ExpiredTime, want.ObservedExpiry = got.ExpiredTime, got.ObservedExpiry
			expectEqual(t, "status", want, got)
			expectEqual(t, "finalizers", []string(nil), binding.get().Finalizers)
			expectEqual(t, "calls", operations(nil), w.calls())
			expectEqual(t, "relations", map[string]bool{globex: true}, w.platform.Relations(john))
		})
	}
}

// TestConnectionsOfOthersAreNotDisclosed compares all that a team sees of a connection that is not there with what
// it sees of one that is, and that does not serve its namespace.
func TestConnectionsOfOthersAreNotDisclosed(t *testing.T) {
	type view struct {
		Status v1alpha1.ClientBindingStatus
		Events []string
		Wait   time.Duration
	}
	w := newWorld(t)
	binding := w.bindTeam(nil)
	see := func() view {
		fresh := binding.get()
		if err := w.kube.Delete(t.Context(), fresh); err != nil {
			t.Fatal(err)
		}
		w.create(&v1alpha1.ClientBinding{ObjectMeta: metav1.ObjectMeta{Namespace: fresh.Namespace, Name: fresh.Name}, Spec: fresh.Spec})
		w.events()
		status, wait := binding.look()
		return view{status, w.events(), wait}
	}
	absent := see()
	expectEqual(t, "events", []string{"Warning NotAllowed " + binding.closed()}, absent.Events)

	w.createConnection(func(c *v1alpha1.APIConnection) {
		c.Spec.Interval = duration(time.Second)
		c.Spec.Allowed = &v1alpha1.Allowed{Namespaces: division("sales"), CUIDs: []string{"other"}, Owner: ref(false)}
	})
	expectEqual(t, "of one that cannot be used", absent, see())
	w.createSecret(map[string]string{"login": login, "password": password})
	w.reconcileConnection()
	expectEqual(t, "of one that works", absent, see())
	expectEqual(t, "whether it works", "LoggedIn", w.connectionReason())
	w.share(&v1alpha1.Allowed{Namespaces: division("the bank")})
	w.reconcileConnection()
	expectEqual(t, "of one whose selector is none", absent, see())
}

// TestNoLongerAllowed narrows a connection after it gave access: nothing is corrected or even looked at any more, what
// was given stays, and its end is the same as ever.
func TestNoLongerAllowed(t *testing.T) {
	const stays = ". The access that it gave is neither checked nor corrected, and is revoked when it is deleted or expires"
	for name, test := range map[string]struct {
		narrow func(*otherBinding)
		want   func(*otherBinding) string
	}{
		"no other namespaces": {func(r *otherBinding) { r.share(nil) }, (*otherBinding).closed},
		"other labels are asked for": {
			func(r *otherBinding) { r.share(&v1alpha1.Allowed{Namespaces: division("sales")}) }, (*otherBinding).closed,
		},
		"labels are asked for that there cannot be": {func(r *otherBinding) {
			r.share(&v1alpha1.Allowed{Namespaces: division("the bank")})
			r.reconcileConnection()
		}, (*otherBinding).closed},
		"the namespace loses its label": {func(r *otherBinding) {
			namespace := &corev1.Namespace{}
			if err := r.kube.Get(r.t.Context(), client.ObjectKey{Name: r.key.Namespace}, namespace); err != nil {
				r.t.Fatal(err)
			}
			r.edit(namespace, func() { delete(namespace.Labels, "division") })
		}, (*otherBinding).closed},
		"other clients": {
			func(r *otherBinding) {
				r.share(&v1alpha1.Allowed{Namespaces: allNamespaces(), CUIDs: []string{"other"}})
			},
			func(r *otherBinding) string { return r.deniesClient() },
		},
		"no owners": {
			func(r *otherBinding) { r.share(&v1alpha1.Allowed{Namespaces: allNamespaces(), Owner: ref(false)}) },
			func(r *otherBinding) string { return r.deniesOwners() },
		},
	} {
		for ending, end := range map[string]func(*otherBinding){
			"deleted": func(r *otherBinding) {
				if err := r.kube.Delete(r.t.Context(), r.get()); err != nil {
					r.t.Fatal(err)
				}
			},
			"expired": func(r *otherBinding) { r.clock.Advance(2 * time.Hour) },
		} {
			t.Run(name+", "+ending, func(t *testing.T) {
				w := newWorld(t)
				w.connect()
				w.share(&v1alpha1.Allowed{Namespaces: division("bank")})
				binding := w.bindTeam(func(b *v1alpha1.ClientBinding) { owner(b); until(time.Hour)(b) })
				before, _ := binding.look()
				test.narrow(binding)
				w.platform.SetRelation(john, acme, false) // Another system changes it.
				w.calls()

				got, _ := binding.look()

				want := *before.DeepCopy()
				want.Conditions = notAllowed(test.want(binding) + stays).Conditions
				expectEqual(t, "status", want, got)
				expectEqual(t, "calls", operations(nil), w.calls())

				end(binding)
				binding.reconcile()
				expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
			})
		}
	}
}

// TestDemotedIsAllowedAgain shows the way out of owner: false that needs nobody else.
func TestDemotedIsAllowedAgain(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(owner)
	w.reconcile()
	w.share(&v1alpha1.Allowed{Owner: ref(false)})
	w.reconcile()
	expectEqual(t, "reason", "NotAllowed", w.reason())
	expectEqual(t, "relations", map[string]bool{acme: true}, w.platform.Relations(john))
	binding := w.binding()
	w.edit(binding, func() { binding.Spec.IsOwner = false })

	w.reconcile()

	expectEqual(t, "reason", "Bound", w.reason())
	expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
}

// TestAllowedAgain shows that a binding goes on where it was as soon as its connection allows it again.
func TestAllowedAgain(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.share(&v1alpha1.Allowed{CUIDs: []string{"other"}})
	w.reconcile()
	w.platform.SetRelation(john, acme, true)
	w.share(nil)

	w.reconcile()

	expectEqual(t, "reason", "Bound", w.reason())
	expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
}

// TestOwnNamespaceIsLeftOut shows that a selector is about the connection's own namespace, too.
func TestOwnNamespaceIsLeftOut(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.share(&v1alpha1.Allowed{Namespaces: division("bank")})
	w.bind(nil)

	w.reconcile()

	w.expect(notAllowed("APIConnection " + w.namespace + "/default does not allow its own namespace (spec.allowed.namespaces): ask those who may edit it, or delete this ClientBinding"))
	expectEqual(t, "calls", operations(nil), w.calls())
}

// TestDefaultConnectionAsksWhoMayUseIt shows that --default-connection opens nothing by itself.
func TestDefaultConnectionAsksWhoMayUseIt(t *testing.T) {
	for name, test := range map[string]struct {
		allowed *v1alpha1.Allowed
		want    string
	}{
		"open":                {&v1alpha1.Allowed{Namespaces: allNamespaces()}, "Bound"},
		"for its own alone":   {nil, "NotAllowed"},
		"for other divisions": {&v1alpha1.Allowed{Namespaces: division("sales")}, "NotAllowed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.share(test.allowed)
			w.connections.Default = types.NamespacedName{Namespace: w.namespace, Name: "default"}
			binding := w.bindTeam(func(b *v1alpha1.ClientBinding) { b.Spec.ConnectionRef = nil })

			binding.reconcile()

			expectEqual(t, "reason", test.want, binding.ready().Reason)
		})
	}
}

// TestSecretsOfOthersAreNotUsed shows that a team's own connection reaches Secrets of its own namespace only, by
// any name.
func TestSecretsOfOthersAreNotUsed(t *testing.T) {
	w := newWorld(t)
	w.connect()
	elsewhere := w.anotherNamespace() // Its connection names a Secret that only the world's namespace has.
	w.calls()

	w.reconcileConnectionAt(client.ObjectKey{Namespace: elsewhere, Name: "default"})

	found := &v1alpha1.APIConnection{}
	if err := w.kube.Get(t.Context(), client.ObjectKey{Namespace: elsewhere, Name: "default"}, found); err != nil {
		t.Fatal(err)
	}
	expectEqual(t, "message", "Secret "+elsewhere+"/delos-credentials does not exist: create it with the keys login and password, or token, or correct spec.credentials.secretRef. Tried again within a minute", found.Status.Conditions[0].Message)
	expectEqual(t, "calls", operations(nil), w.calls())
}

// TestConnectionOfOthersThatLeadsElsewhere shows that the address of a connection is not told to those whom it does not
// serve any more, not even while their access is revoked.
func TestConnectionOfOthersThatLeadsElsewhere(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.share(&v1alpha1.Allowed{Namespaces: allNamespaces()})
	binding := w.bindTeam(nil)
	binding.reconcile()
	w.loseConnection()
	w.createConnection(func(c *v1alpha1.APIConnection) { c.Spec.URL = "https://elsewhere.example" })

	binding.reconcile()
	expectEqual(t, "reason", "NotAllowed", binding.ready().Reason)
	if err := w.kube.Delete(t.Context(), binding.get()); err != nil {
		t.Fatal(err)
	}
	binding.reconcile()

	expectEqual(t, "reason while it is deleted", "RevocationBlocked", binding.ready().Reason)
	if message := binding.ready().Message; strings.Contains(message, "elsewhere") {
		t.Errorf("the team is told: %s", message)
	}
}
