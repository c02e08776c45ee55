package controller

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// quietEvery is how many steps a walk takes before it lets everything come to rest.
const quietEvery = 40

// walk is one random walk: a platform, an operator, and the objects of two namespaces.
type walk struct {
	t     *testing.T
	seed  uint64
	steps int
	rand  *rand.Rand
	clock *clock
	trace trace
	// broken is a violation that was found on another goroutine than the one that walks.
	broken *violation

	step, runs, calls int

	// kube is what people use; the operator has a client of its own.
	kube       client.Client
	namespaces [2]string
	users      [2]string
	clients    [2]string
	identities identities
	// seen is what the API server has; stale says that it may have changed since.
	seen  *view
	stale struct{ bindings, connections bool }

	platform *delossim.Server
	host     string
	truth    truth
	late     []*lateCall
	// delayed: the next write will be late.
	delayed bool
	// turn is whose turn it is: see handOver.
	turn sync.Mutex
	// serving is the name of the process whose calls are answered.
	serving atomic.Value
	// delivering: a call arrives that its sender no longer waits for.
	delivering bool

	operator  *process // nil while it is down
	processes int
	// calm: nothing goes wrong in the middle of a run.
	calm bool
	// current is what is known of the run under way.
	current episode
	// specs are the declarations of all objects, by UID and generation.
	specs map[declaration]v1alpha1.ClientBindingSpec
	// favourite is the binding that something happened to last.
	favourite types.NamespacedName
}

// declaration is one generation of one object.
type declaration struct {
	uid        types.UID
	generation int64
}

func newWalk(t *testing.T, seed uint64) *walk {
	t.Helper()
	w := &walk{
		t:     t,
		seed:  seed,
		rand:  rand.New(rand.NewPCG(seed, 4)),
		clock: clockwork.NewFakeClockAt(start),
		kube:  clusterKube,
		specs: map[declaration]v1alpha1.ClientBindingSpec{},
	}
	for i := range 2 {
		w.namespaces[i] = fmt.Sprintf("model-%d-%c", seed, 'a'+i)
		w.users[i] = fmt.Sprintf("model-%d-%s", seed, []string{"john", "maria"}[i])
		w.clients[i] = []string{acme, globex}[i]
	}
	w.identities = newIdentities(w.clock)
	w.openPlatform()
	for _, namespace := range w.namespaces {
		err := w.kube.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
		if !apierrors.IsAlreadyExists(err) {
			w.mustSetUp(err)
		}
	}
	return w
}

func (w *walk) mustSetUp(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *walk) openPlatform() {
	users := make([]delossim.User, len(w.users))
	for i, uuid := range w.users {
		users[i] = delossim.User{UUID: uuid, Username: strings.TrimPrefix(uuid, "model-")}
	}
	w.platform = delossim.New(delossim.Config{
		Accounts: []delossim.Account{{Login: login, Password: password}},
		Users:    users,
		Clients:  w.clients[:],
		Clock:    w.clock.Now,
		Settings: w.drawSettings(),
		OnCall:   w.called,
	})
	server := httptest.NewServer(w)
	w.t.Cleanup(server.Close)
	w.host = server.Listener.Addr().String()
	w.serving.Store("")
	w.truth = newTruth()
}

// drawSettings draws what is not documented of the platform, or contradictory.
func (w *walk) drawSettings() delossim.Settings {
	settings := delossim.Settings{
		Existing:      []delossim.Existing{delossim.Overwrite, delossim.Overwrite, delossim.RefuseChange, delossim.RefuseRepeat}[w.rand.IntN(4)],
		GatewayErrors: w.chance(30),
		NameUserID:    w.chance(30),
		NameCUID:      w.chance(30),
		ClientsAtTop:  w.chance(30),
		RefuseAbsent:  w.chance(40),
	}
	settings.NotFoundStatus = []int{0, 200, 400}[w.rand.IntN(3)]
	// A platform that neither confirms that an absent relation is removed nor lists relations proves no absence.
	if !settings.RefuseAbsent {
		settings.EmptyClients = []delossim.EmptyClients{delossim.EmptyList, delossim.EmptyOmitted, delossim.EmptyNull}[w.rand.IntN(3)]
	}
	return settings
}

// take takes a walk of so many steps, and cleans up behind it.
func (w *walk) take(steps int) {
	w.steps = steps
	defer w.cleanUp()
	defer w.platform.Close()
	defer func() {
		switch what := recover().(type) {
		case nil:
		case violation:
			w.report(what)
		default:
			panic(what)
		}
	}()
	w.seen = w.look(nil)
	w.note("the beginning")
	for _, namespace := range w.namespaces {
		w.createCredentials(namespace)
		w.createConnections(namespace)
	}
	w.start()
	w.work()
	for w.step = 1; w.step <= steps; w.step++ {
		w.act()
		w.stopIfBroken()
		w.work()
		if w.step%quietEvery == 0 || w.step == steps {
			w.rest()
		}
	}
	w.step = steps
}

// cleanUp takes all objects of the walk away, so that they are not rivals of a later walk.
func (w *walk) cleanUp() {
	ctx := context.WithoutCancel(w.t.Context())
	for _, list := range []client.ObjectList{&v1alpha1.ClientBindingList{}, &v1alpha1.APIConnectionList{}, &corev1.SecretList{}} {
		for _, namespace := range w.namespaces {
			w.mustSetUp(w.kube.List(ctx, list, client.InNamespace(namespace)))
			for _, object := range objectsOf(list) {
				err := w.kube.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))
				if err == nil {
					err = w.kube.Delete(ctx, object)
				}
				w.mustSetUp(client.IgnoreNotFound(err))
			}
		}
	}
}

// handOver is called by whoever is about to let another goroutine go on with the walk, or was let go on: the operator
// before and after each call, and the platform within it. Only one of them is at work at a time; this tells the race
// detector, which cannot see that through a network connection.
func (w *walk) handOver() {
	w.turn.Lock()
	defer w.turn.Unlock()
}

// now is the operator's clock, which it asks before and after each call.
func (w *walk) now() time.Time {
	w.handOver()
	return w.clock.Now()
}

func (w *walk) chance(percent int) bool { return w.rand.IntN(100) < percent }

// pick draws one of several; they have to be in an order that is the same in each walk.
func pick[T any](w *walk, from []T) T { return from[w.rand.IntN(len(from))] }

// sortedKeys are the names of objects in one and the same order.
func sortedKeys[V any](objects map[types.NamespacedName]V) []types.NamespacedName {
	return slices.SortedFunc(maps.Keys(objects), func(a, b types.NamespacedName) int {
		return strings.Compare(a.String(), b.String())
	})
}

// short is the name of an object without what is the same for all of a walk.
func (w *walk) short(key types.NamespacedName) string {
	return key.Namespace[strings.LastIndex(key.Namespace, "-")+1:] + "/" + key.Name
}
