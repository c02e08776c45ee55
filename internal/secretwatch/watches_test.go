package secretwatch

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/delos-financial/clientbinding-operator/internal/apiservertest"
)

var (
	cluster *rest.Config
	kube    client.Client
)

func TestMain(m *testing.M) {
	os.Exit(apiservertest.Run(m, &envtest.Environment{}, func(config *rest.Config) (err error) {
		config.QPS = -1
		cluster = config
		kube, err = client.New(config, client.Options{})
		return err
	}))
}

// world is a namespace, and watches by a user that has the rights of a Role there.
type world struct {
	t         *testing.T
	namespace string
	watches   *Watches
	changes   <-chan event.TypedGenericEvent[Change]
}

var allVerbs = []string{"get", "list", "patch", "watch"}

// newWorld has no right to anything.
func newWorld(t *testing.T) *world {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	create(t, namespace)
	config := rest.CopyConfig(cluster)
	config.Impersonate = rest.ImpersonationConfig{UserName: "operator-of-" + namespace.Name, Groups: []string{"system:authenticated"}}
	watches, err := New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, namespace: namespace.Name, watches: watches, changes: watches.Changes()}
}

func create(t *testing.T, object client.Object) {
	t.Helper()
	if err := kube.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

// allow gives rights to one Secret.
func (w *world) allow(secret string, verbs ...string) *rbacv1.RoleBinding {
	w.t.Helper()
	meta := metav1.ObjectMeta{Namespace: w.namespace, GenerateName: "operator-"}
	role := &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{secret}, Verbs: verbs,
	}}}
	create(w.t, role)
	binding := &rbacv1.RoleBinding{ObjectMeta: meta,
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "operator-of-" + w.namespace}},
	}
	create(w.t, binding)
	return binding
}

func (w *world) secret(name string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.namespace, Name: name, Finalizers: []string{"example.com/kept"},
			Labels:      map[string]string{"team": "a"},
			Annotations: map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "the password"},
		},
		StringData: map[string]string{"password": "correct horse"},
	}
}

func (w *world) connection(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: w.namespace, Name: name}
}

// told is the next change; what has to come comes within seconds.
func (w *world) told() Change {
	w.t.Helper()
	select {
	case change := <-w.changes:
		return change.Object
	case <-time.After(20 * time.Second):
		w.t.Fatal("nothing was told")
		return Change{}
	}
}

// known is what Get says: the Secret's finalizers, or why there is nothing to say.
func (w *world) known(name string) string {
	w.t.Helper()
	found := &metav1.PartialObjectMetadata{}
	err := w.watches.Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, found)
	switch {
	case err == nil:
		return "there"
	case errors.Is(err, ErrUnknown):
		return "unknown"
	default:
		return string(apierrors.ReasonForError(err))
	}
}

func equal(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestSecretIsFollowed: by its name alone, from before it is there until it is gone, and nothing is kept of it but what
// protecting it takes.
func TestSecretIsFollowed(t *testing.T) {
	w := newWorld(t)
	w.allow("named", allVerbs...)
	create(t, w.secret("other"))
	w.watches.Follow(w.connection("first"), "named")

	equal(t, "absent", Change{Connection: w.connection("first")}, w.told())
	equal(t, "known", "NotFound", w.known("named"))

	secret := w.secret("named")
	create(t, secret)
	appeared := w.told()
	want := &metav1.PartialObjectMetadata{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.namespace, Name: "named", UID: secret.UID, ResourceVersion: secret.ResourceVersion, Finalizers: secret.Finalizers,
		},
	}
	equal(t, "appeared", Change{Connection: w.connection("first"), Is: want}, appeared)

	before := secret.DeepCopy()
	secret.Finalizers = nil
	if err := kube.Patch(t.Context(), secret, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	changed := w.told()
	equal(t, "was", want, changed.Was)
	equal(t, "finalizers", []string(nil), changed.Is.Finalizers)

	if err := kube.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	equal(t, "gone", Change{Connection: w.connection("first"), Was: changed.Is}, w.told())
	equal(t, "of a Secret that nobody names", "unknown", w.known("other"))
}

// TestWatchIsShared: connections that name the same Secret have one watch, which ends with the last of them.
func TestWatchIsShared(t *testing.T) {
	w := newWorld(t)
	w.allow("named", allVerbs...)
	w.watches.Follow(w.connection("first"), "named")
	w.told()
	one := w.watches.watched[w.connection("named")]
	w.watches.Follow(w.connection("second"), "named", "another")
	if w.watches.watched[w.connection("named")] != one {
		t.Error("a second connection began a second watch")
	}

	create(t, w.secret("named"))
	told := map[types.NamespacedName]bool{w.told().Connection: true, w.told().Connection: true}
	equal(t, "told", map[types.NamespacedName]bool{w.connection("first"): true, w.connection("second"): true}, told)

	w.watches.Follow(w.connection("second"))
	equal(t, "still known", "there", w.known("named"))
	equal(t, "of the second alone", "unknown", w.known("another"))
	w.watches.Follow(w.connection("first"), "third")
	equal(t, "known", "unknown", w.known("named"))
	equal(t, "watches", 1, len(w.watches.watched))
}

// TestRefusedWatch: each of the rights is needed, which one is missing is said, and the watch goes on within seconds of
// its being given.
func TestRefusedWatch(t *testing.T) {
	for _, missing := range []string{"list", "patch", "watch"} {
		t.Run(missing, func(t *testing.T) {
			w := newWorld(t)
			create(t, w.secret("named"))
			for _, verb := range allVerbs {
				if verb != missing {
					w.allow("named", verb)
				}
			}
			w.watches.Follow(w.connection("first"), "named")
			equal(t, "refused", Change{Connection: w.connection("first")}, w.told())
			equal(t, "known", "Forbidden", w.known("named"))

			w.allow("named", missing)
			if change := w.told(); change.Is == nil || change.Was != nil {
				t.Errorf("told %+v", change)
			}
			equal(t, "known", "there", w.known("named"))
		})
	}
}

// TestRightThatIsTakenAway is noticed when the watch begins anew.
func TestRightThatIsTakenAway(t *testing.T) {
	w := newWorld(t)
	w.watches.lasts = func() time.Duration { return time.Second }
	right := w.allow("named", allVerbs...)
	create(t, w.secret("named"))
	w.watches.Follow(w.connection("first"), "named")
	is := w.told().Is

	if err := kube.Delete(t.Context(), right); err != nil {
		t.Fatal(err)
	}

	equal(t, "told", Change{Connection: w.connection("first"), Was: is}, w.told())
	equal(t, "known", "Forbidden", w.known("named"))
}
