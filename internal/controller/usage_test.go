package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// protection tells which objects of a world's connection have the finalizer.
type protection struct{ Connection, Secret string }

const (
	unprotected = "there"
	protected   = "protected"
	leaving     = "leaving, protected"
	goneObject  = "gone"
)

func (w *world) protection() protection {
	w.t.Helper()
	of := func(name string, object client.Object) string {
		err := w.kube.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, object)
		switch {
		case apierrors.IsNotFound(err):
			return goneObject
		case err != nil:
			w.t.Fatal(err)
		case len(object.GetFinalizers()) == 0:
			return unprotected
		case object.GetDeletionTimestamp() != nil:
			return leaving
		}
		expectEqual(w.t, "finalizers of "+name, []string{v1alpha1.InUseFinalizer}, object.GetFinalizers())
		return protected
	}
	return protection{of("default", &v1alpha1.APIConnection{}), of("delos-credentials", &corev1.Secret{})}
}

func (w *world) deleteAll(objects ...client.Object) {
	w.t.Helper()
	for _, object := range objects {
		if err := w.kube.Delete(w.t.Context(), object); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) credentials() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "delos-credentials"}}
}

func TestWhoNeedsAConnectionHasItStay(t *testing.T) {
	cases := map[string]struct {
		arrange  func(*world)
		want     protection
		bindings int32
	}{
		"nobody": {
			arrange: func(*world) {},
			want:    protection{unprotected, unprotected},
		},
		"a binding that is not granted yet": {
			arrange: func(w *world) { w.bind(nil) },
			want:    protection{protected, protected}, bindings: 1,
		},
		"a binding that names another connection": {
			arrange: func(w *world) {
				w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: "other"} })
			},
			want: protection{unprotected, unprotected},
		},
		"a binding of others, whom it does not allow": {
			arrange: func(w *world) { w.bindTeam(nil) },
			want:    protection{unprotected, unprotected},
		},
		"a binding of others, whom it allows": {
			arrange: func(w *world) {
				w.share(&v1alpha1.Allowed{Namespaces: allNamespaces()})
				w.bindTeam(nil)
			},
			want: protection{protected, protected}, bindings: 1,
		},
		"a binding that is being revoked": {
			arrange: func(w *world) {
				w.bind(nil)
				w.reconcile()
				w.delete()
			},
			want: protection{protected, protected}, bindings: 1,
		},
		"a binding that was revoked": {
			arrange: func(w *world) {
				w.bind(nil)
				w.reconcile()
				w.delete()
				w.reconcile()
			},
			want: protection{unprotected, unprotected},
		},
		"a binding that expired": {
			arrange: func(w *world) {
				w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.ExpiresAt = ref(at(time.Minute)) })
				w.reconcile()
				w.clock.Advance(time.Minute)
				w.reconcile()
			},
			want: protection{unprotected, unprotected},
		},
		"a binding that is expiring, and fails to": {
			arrange: func(w *world) {
				w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.ExpiresAt = ref(at(time.Minute)) })
				w.reconcile()
				w.platform.Inject(delossim.Fault{Op: opUnrelate, Failure: delossim.Answer{Status: 500}})
				w.clock.Advance(time.Minute)
				w.reconcile()
			},
			want: protection{protected, protected}, bindings: 1,
		},
		"its Secret was not there": {
			arrange: func(w *world) {
				w.deleteAll(w.credentials())
				w.bind(nil)
			},
			want: protection{protected, goneObject}, bindings: 1,
		},
		"all are deleted while a binding needs them": {
			arrange: func(w *world) {
				w.bind(nil)
				w.reconcile()
				w.deleteAll(w.credentials(), w.connection())
			},
			want: protection{leaving, leaving}, bindings: 1,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			tc.arrange(w)

			w.reconcileUsage()

			expectEqual(t, "protection", tc.want, w.protection())
			expectEqual(t, "bindings", &tc.bindings, w.connection().Status.Bindings)
		})
	}
}

// TestEverythingIsDeletedAtOnce: what is deleted as a namespace is, all together, is revoked and goes.
func TestEverythingIsDeletedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.deleteAll(w.credentials(), w.connection(), w.binding())
	w.restart()
	w.events()
	w.reconcileUsage()
	w.reconcileConnection()

	w.reconcile()

	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
	w.reconcileUsage()
	expectEqual(t, "protection", protection{goneObject, goneObject}, w.protection())
	expectEqual(t, "events", []string{
		"Warning InUse Stays until no ClientBinding needs it to revoke access; 1 do",
		"Warning InUse Stays until no ClientBinding needs it to revoke access; 1 do",
	}, w.events()[:2])
}

// TestNoAccessIsGivenThroughAConnectionThatLeaves: what is granted could not be revoked through it any more.
func TestNoAccessIsGivenThroughAConnectionThatLeaves(t *testing.T) {
	w := newWorld(t)
	w.connect()
	holder := w.bindIn(w.namespace, "holder", func(b *v1alpha1.ClientBinding) { b.Spec.CUID = globex })
	holder.reconcile()
	w.deleteAll(w.connection())
	w.bind(nil)
	w.calls()

	w.reconcile()

	expectEqual(t, "calls", operations(nil), w.calls())
	expectEqual(t, "conditions", failing("ConnectionNotReady", "APIConnection "+w.namespace+"/default is being deleted, and no more access is given through it", 0)[0].Message,
		w.binding().Status.Conditions[0].Message)
}

// TestNothingIsGrantedBeforeTheConnectionIsProtected: else it, or its Secret, could go before the access was revoked. The binding says so if that
// lasts, however old it is.
func TestNothingIsGrantedBeforeTheConnectionIsProtected(t *testing.T) {
	finalizers, secrets, none, some := []string{v1alpha1.InUseFinalizer}, []string{"delos-credentials"}, ref[int32](0), ref[int32](1)
	for name, of := range map[string]struct {
		finalizers, secrets []string
		bindings            *int32
	}{
		"it has no finalizer":                  {nil, secrets, some},
		"its Secret is not on record":          {finalizers, nil, some},
		"no binding was counted since":         {finalizers, secrets, nil},
		"it is about to be released":           {finalizers, secrets, none},
		"nothing of that has been written yet": {},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.bind(nil)
			connection := w.connection()
			w.edit(connection, func() { connection.Finalizers = of.finalizers })
			connection.Status.ProtectedSecrets, connection.Status.Bindings = of.secrets, of.bindings
			if err := w.kube.Status().Update(t.Context(), connection); err != nil {
				t.Fatal(err)
			}
			w.clock.Advance(time.Hour)

			result := w.reconcileNamed("john")

			expectEqual(t, "calls", operations(nil), w.calls())
			expectEqual(t, "wait", startingRetry, result.RequeueAfter)
			expectEqual(t, "status", v1alpha1.ClientBindingStatus{ObservedGeneration: -1}, w.binding().Status)
			w.clock.Advance(protectionLimit)
			w.reconcileNamed("john")
			expectEqual(t, "message when that lasts", "Waits until APIConnection "+w.namespace+"/default and its Secret have the finalizer that keeps them while they are needed. "+
				"Their events say what hinders it", w.message())
			w.reconcileUsage()
			w.reconcileNamed("john")
			expectEqual(t, "reason", "Bound", w.reason())
		})
	}
}

// TestFullRecordOfSecrets: a connection that cannot release the Secrets that it used before says so and goes on, and protects its Secret once it can.
func TestFullRecordOfSecrets(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	connection := w.connection()
	for i := range mostProtected {
		secret := w.credentials()
		secret.Name, secret.Finalizers = fmt.Sprintf("former-%02d", i), []string{v1alpha1.InUseFinalizer}
		w.create(secret)
		connection.Status.ProtectedSecrets = append(connection.Status.ProtectedSecrets, secret.Name)
	}
	if err := w.kube.Status().Update(t.Context(), connection); err != nil {
		t.Fatal(err)
	}
	kube := w.kube
	w.kube = withoutSecrets{kube, "delos-credentials"}
	usage := w.usage()

	for range 2 {
		if _, err := usage.Reconcile(t.Context(), w.request("default")); err != nil {
			t.Fatal(err)
		}
	}

	w.kube = kube
	expectEqual(t, "bindings counted", ref[int32](1), w.connection().Status.Bindings)
	told := slices.DeleteFunc(w.events(), func(event string) bool { return !strings.HasPrefix(event, "Warning SecretNotProtected") })
	expectEqual(t, "events", []string{"Warning SecretNotProtected Secret delos-credentials is not protected, and gives no new access: 16 Secrets that were used before could not be released " +
		"(status.protectedSecrets). An administrator of the namespace gives the right with: kubectl create rolebinding clientbinding-operator-credentials -n " + w.namespace +
		" --clusterrole=clientbinding-operator-credentials --serviceaccount=clientbinding-system:clientbinding-operator"}, told)
	for range 2 {
		w.reconcileUsage()
	}
	expectEqual(t, "record", []string{"delos-credentials"}, w.protectedSecrets())
	w.reconcile()
	expectEqual(t, "reason", "Bound", w.reason())
}

// TestSecretsAreProtectedAsTheyAreNamed: a connection that turns to another Secret lets the former one go, and one
// that several connections use stays for each of them.
func TestSecretsAreProtectedAsTheyAreNamed(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	other := w.credentials()
	other.Name, other.StringData = "other", map[string]string{"login": login, "password": password}
	w.create(other)
	connection := w.connection()
	w.edit(connection, func() { connection.Spec.Credentials.SecretRef.Name = "other" })
	expectEqual(t, "record", []string{"delos-credentials"}, w.protectedSecrets())
	w.reconcileUsage()
	expectEqual(t, "protection of the former", protection{protected, unprotected}, w.protection())
	expectEqual(t, "record", []string{"other"}, w.protectedSecrets())

	w.create(&v1alpha1.APIConnection{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "second"},
		Spec:       v1alpha1.APIConnectionSpec{URL: w.url, Credentials: v1alpha1.Credentials{SecretRef: v1alpha1.SecretReference{Name: "other"}}},
	})
	w.reconcileUsageOf(w.request("second"))
	w.deleteAll(other)
	w.reconcileUsage()
	if err := w.kube.Get(t.Context(), client.ObjectKeyFromObject(other), other); err != nil {
		t.Errorf("a Secret that is still needed went: %v", err)
	}
}

// TestSecretOfALostConnection: with the connection its memory is lost, and the Secret stays protected. A connection of any
// name that has its credentials there lets it go.
func TestSecretOfALostConnection(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.loseConnection()
	w.deleteBindingOfALostConnection()

	w.reconcileUsage()
	expectEqual(t, "protection", protection{goneObject, protected}, w.protection())

	w.createConnection(nil)
	w.reconcileUsage()
	expectEqual(t, "protection", protection{unprotected, unprotected}, w.protection())
}

// deleteBindingOfALostConnection takes the binding away as a person does who gives its access up.
func (w *world) deleteBindingOfALostConnection() {
	w.t.Helper()
	w.forget(client.ObjectKeyFromObject(w.binding()))
}

// protectedSecrets are the Secrets that the connection has on record.
func (w *world) protectedSecrets() []string { return w.connection().Status.ProtectedSecrets }

// TestSecretIsOnRecordBeforeItIsProtected: an operator that ends between the two finds it again.
func TestSecretIsOnRecordBeforeItIsProtected(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	kube := w.kube
	w.kube = secretsUnchanged{kube}

	_, err := w.usage().Reconcile(t.Context(), w.request("default"))

	expectEqual(t, "error", true, errors.Is(err, errUnchanged))
	expectEqual(t, "protection", protection{unprotected, unprotected}, w.protection())
	expectEqual(t, "record", []string{"delos-credentials"}, w.protectedSecrets())
	w.kube = kube
	w.reconcileUsage()
	expectEqual(t, "protection", protection{protected, protected}, w.protection())
	w.delete()
	w.reconcile()
	w.reconcileUsage()
	expectEqual(t, "protection", protection{unprotected, unprotected}, w.protection())
	expectEqual(t, "record", []string(nil), w.protectedSecrets())
}

// secretsUnchanged is a Kubernetes client whose writes to Secrets fail.
type secretsUnchanged struct{ client.Client }

var errUnchanged = errors.New("the Secret could not be written")

func (c secretsUnchanged) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.PatchOption) error {
	if _, secret := object.(*metav1.PartialObjectMetadata); secret {
		return errUnchanged
	}
	return c.Client.Patch(ctx, object, patch, options...)
}

// TestNothingIsReleasedByAStaleCache: after a restart the cache may not know the bindings yet, or no longer what is new.
func TestNothingIsReleasedByAStaleCache(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	kube := w.kube
	w.kube = withoutBindings{kube}
	stale := w.usage()
	stale.Live = kube

	if _, err := stale.Reconcile(t.Context(), w.request("default")); err != nil {
		t.Fatal(err)
	}

	expectEqual(t, "protection", protection{protected, protected}, w.protection())
	expectEqual(t, "record", []string{"delos-credentials"}, w.protectedSecrets())
}

// withoutBindings is a cache that has not learned of any ClientBinding.
type withoutBindings struct{ client.Client }

func (c withoutBindings) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if _, bindings := list.(*v1alpha1.ClientBindingList); bindings {
		return nil
	}
	return c.Client.List(ctx, list, options...)
}

// TestSecretThatMayNotBeReleased: the connection stays with its Secret, and it is told how both go.
func TestSecretThatMayNotBeReleased(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.deleteAll(w.connection())
	w.delete()
	w.reconcile()
	w.events()
	kube := w.kube
	w.kube = withoutSecrets{Client: kube}
	usage := w.usage()

	for range 2 {
		result, err := usage.Reconcile(t.Context(), w.request("default"))
		if err != nil {
			t.Fatal(err)
		}
		expectEqual(t, "wait, since nothing tells of the right", 10*time.Second, result.RequeueAfter)
	}

	w.kube = kube
	expectEqual(t, "protection", protection{leaving, protected}, w.protection())
	expectEqual(t, "events", []string{"Warning SecretNotReleased Secret delos-credentials keeps the finalizer access.delos.financial/in-use, " +
		"since the operator may not change it. An administrator of the namespace gives the right with: kubectl create rolebinding " +
		"clientbinding-operator-credentials -n " + w.namespace + " --clusterrole=clientbinding-operator-credentials " +
		"--serviceaccount=clientbinding-system:clientbinding-operator"}, w.events())
	w.reconcileUsage()
	expectEqual(t, "protection", protection{goneObject, unprotected}, w.protection())
}

// TestRoleBindingIsKeptAgain: a write of the whole object drops the finalizer, and nothing tells of it.
func TestRoleBindingIsKeptAgain(t *testing.T) {
	w := newWorld(t)
	w.connect()
	rights := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: CredentialsRole},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: CredentialsRole},
	}
	w.create(rights)
	w.bind(nil)
	w.reconcile()
	usage := w.usage()
	for range 2 {
		result, err := usage.Reconcile(t.Context(), w.request("default"))
		if err != nil {
			t.Fatal(err)
		}
		expectEqual(t, "wait", time.Minute, result.RequeueAfter)
		if err := w.kube.Get(t.Context(), client.ObjectKeyFromObject(rights), rights); err != nil {
			t.Fatal(err)
		}
		expectEqual(t, "finalizers", []string{v1alpha1.InUseFinalizer}, rights.Finalizers)
		w.edit(rights, func() { rights.Finalizers = nil })
		w.clock.Advance(time.Minute)
	}
}

// TestProtectionThatWasTakenAwayComesBack: a finalizer that was taken away by hand.
func TestProtectionThatWasTakenAwayComesBack(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	connection := w.connection()
	w.edit(connection, func() { connection.Finalizers = nil })
	secret := w.credentials()
	if err := w.kube.Get(t.Context(), client.ObjectKeyFromObject(secret), secret); err != nil {
		t.Fatal(err)
	}
	w.edit(secret, func() { secret.Finalizers = nil })

	w.reconcileUsage()

	expectEqual(t, "protection", protection{protected, protected}, w.protection())
}

// TestSuspendedBindingLooksThroughAConnectionThatLeaves: it writes nothing that would have to be revoked.
func TestSuspendedBindingLooksThroughAConnectionThatLeaves(t *testing.T) {
	w := newWorld(t)
	w.connect()
	holder := w.bindIn(w.namespace, "holder", func(b *v1alpha1.ClientBinding) { b.Spec.CUID = globex })
	holder.reconcile()
	w.deleteAll(w.connection())
	w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.Suspend = ref(true) })
	w.calls()

	w.reconcile()

	expectEqual(t, "calls", operations{opUser}, w.calls())
	expectEqual(t, "reason", "Suspended", w.binding().Status.Conditions[0].Reason)
}

// requestQueue notes what is queued, and how long that is to wait.
type requestQueue struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	got []time.Duration
}

func (q *requestQueue) Add(reconcile.Request)                            { q.got = append(q.got, 0) }
func (q *requestQueue) AddAfter(_ reconcile.Request, wait time.Duration) { q.got = append(q.got, wait) }

// TestBindingsOfAProtectedConnectionAreCountedTogether: what has to be protected, or is to go, does not wait.
func TestBindingsOfAProtectedConnectionAreCountedTogether(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	queue := &requestQueue{}
	comes := func() {
		w.usage().byNeed().Create(t.Context(), event.CreateEvent{Object: w.binding()}, queue)
	}

	comes()
	w.reconcileUsage()
	comes()
	w.deleteAll(w.connection())
	comes()

	expectEqual(t, "waits", []time.Duration{0, countPeriod, 0}, queue.got)
}
