package controller

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

const (
	// restEvery is how many steps a walk takes before it lets everything come to rest.
	restEvery = 40
	// restFor is how long that takes.
	restFor = 3 * modelInterval
	// modelInterval is that of all connections of a walk.
	modelInterval = 10 * time.Minute
	// A call arrives within so long after it was sent, and shows within so long after that. Together that is less than the
	// length on its record.
	arrivesWithin = 25 * time.Second
	longestLag    = 10 * time.Second
	// told is how many lines of the trace a violation is told with.
	told = 120
)

// relationsOf has the user of each binding of a walk, by its name: the first three declare the same relation. The client is always the same.
var relationsOf = map[string]string{"one": john, "two": john, "three": john, "other": maria}

// walk is one random walk.
type walk struct {
	*world
	seed        uint64
	steps, step int
	rand        *rand.Rand
	trace       []string
	// broken is a violation that was found on another goroutine than the one that walks.
	broken *violation
	// serving is held while the platform serves a call.
	serving sync.Mutex

	// live is what the API server has.
	live       *snapshot
	identities map[types.UID]identity
	// owed are the users whose access the operator gave or adopted, so that a binding has to answer for it.
	owed map[string]bool
	late []*lateCall

	operator *operator // nil while it is down
	started  int
	// calm: nothing goes wrong in the middle of a run.
	calm                bool
	runs, calls, writes int
}

// identity stands for what the API server draws for each object.
type identity struct {
	uid     types.UID
	created metav1.Time
}

func newWalk(t *testing.T, seed uint64) *walk {
	t.Helper()
	w := &walk{
		world: newWorld(t), seed: seed, rand: rand.New(rand.NewPCG(seed, 5)),
		identities: map[types.UID]identity{}, owed: map[string]bool{},
	}
	w.platform.AddAccount(delossim.Account{Login: "second@example.com", Password: password})
	w.platform.Adjust(w.drawSettings)
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	w.url = server.URL
	for name, login := range map[string]string{"default": login, "second": "second@example.com"} {
		w.create(&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
			StringData: map[string]string{"login": login, "password": password},
		})
		w.createConnection(func(connection *v1alpha1.APIConnection) {
			connection.Name = name
			connection.Spec.Credentials.SecretRef.Name = name
			connection.Spec.Interval = duration(modelInterval)
			connection.Spec.RateLimit = &v1alpha1.RateLimit{RequestsPerSecond: 5, Burst: 10}
			if name == "second" {
				connection.Spec.Revocations = &v1alpha1.RevocationLimit{Max: ref(int32(1)), Per: duration(modelInterval)}
			}
		})
	}
	w.refresh()
	return w
}

// drawSettings draws what is not documented of the platform, or contradictory.
func (w *walk) drawSettings(s *delossim.Settings) {
	s.Existing = pick(w, []delossim.Existing{delossim.Overwrite, delossim.Overwrite, delossim.RefuseChange, delossim.RefuseRepeat})
	s.GatewayErrors, s.NameUserID, s.NameCUID, s.ClientsAtTop = w.chance(30), w.chance(30), w.chance(30), w.chance(30)
	s.RefuseAbsent = w.chance(40)
	s.NotFoundStatus = pick(w, []int{0, 200, 400})
	// A platform that neither confirms that an absent relation is removed nor lists relations proves no absence.
	if !s.RefuseAbsent {
		s.EmptyClients = pick(w, []delossim.EmptyClients{delossim.EmptyList, delossim.EmptyOmitted, delossim.EmptyNull})
	}
}

// take takes a walk of so many steps.
func (w *walk) take(steps int) {
	w.steps = steps
	defer func() {
		switch what := recover().(type) {
		case nil:
		case violation:
			w.report(what)
		default:
			panic(what)
		}
	}()
	w.start()
	w.work()
	for w.step = 1; w.step <= steps; w.step++ {
		w.act()
		w.stopIfBroken()
		w.work()
		if w.step%restEvery == 0 || w.step == steps {
			w.rest()
		}
	}
	w.step = steps
}

// act takes one step.
func (w *walk) act() {
	actions := []struct {
		weight int
		do     func()
	}{
		{20, w.declare},
		{20, w.editBinding},
		{14, w.withdraw},
		{10, w.drift},
		{5, w.changeUser},
		{4, w.allowOwners},
		{14, w.fault},
		{6, w.endFaults},
		{4, w.changeLag},
		{3, w.endSessions},
		{6, w.killOrStart},
		{6, w.fallBehind},
		{6, w.arrive},
		{40, w.timePasses},
	}
	total := 0
	for _, a := range actions {
		total += a.weight
	}
	drawn := w.rand.IntN(total)
	for _, a := range actions {
		if drawn -= a.weight; drawn < 0 {
			a.do()
			return
		}
	}
}

// declare creates a binding.
func (w *walk) declare() {
	name := pick(w, []string{"one", "two", "three", "other"})
	spec := v1alpha1.ClientBindingSpec{UserUUID: relationsOf[name], CUID: acme, IsOwner: w.chance(50)}
	if w.chance(20) {
		spec.ExpiresAt = w.drawExpiry()
	}
	if w.chance(15) {
		spec.Suspend = ref(true)
	}
	if w.chance(15) {
		spec.DeletionPolicy = v1alpha1.DeletionPolicyOrphan
	}
	if w.chance(30) {
		spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: "second"}
	}
	if w.live.binding(name) != nil {
		return
	}
	binding := &v1alpha1.ClientBinding{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, Spec: spec}
	w.must(clusterKube.Create(w.t.Context(), binding))
	key := client.ObjectKeyFromObject(binding)
	w.t.Cleanup(func() { w.forget(key) })
	w.identities[binding.UID] = identity{types.UID(fmt.Sprintf("%s-%d", name, len(w.identities))), metav1.NewTime(w.clock.Now().UTC().Truncate(time.Second))}
	w.log("declare %s", describe(binding))
	w.refresh()
}

func (w *walk) drawExpiry() *metav1.Time {
	at := w.clock.Now().Add(pick(w, []time.Duration{-time.Minute, 5 * time.Second, time.Minute, 20 * time.Minute, 2 * time.Hour}))
	return &metav1.Time{Time: at.UTC().Truncate(time.Second)}
}

// describe says what a binding declares.
func describe(binding *v1alpha1.ClientBinding) string {
	spec := binding.Spec
	text := fmt.Sprintf("%s: %s is %s", binding.Name, spec.UserUUID, declaredBy(binding))
	if spec.ExpiresAt != nil {
		text += spec.ExpiresAt.UTC().Format(" until 02 15:04:05")
	}
	if ptr.Deref(spec.Suspend, false) {
		text += ", suspended"
	}
	if spec.DeletionPolicy != "" {
		text += ", " + string(spec.DeletionPolicy)
	}
	if spec.ConnectionRef != nil {
		text += ", through " + spec.ConnectionRef.Name
	}
	return text
}

// drawBinding draws a binding as it is now; nil when there is none.
func (w *walk) drawBinding() *v1alpha1.ClientBinding {
	if len(w.live.bindings) == 0 {
		return nil
	}
	return pick(w, w.live.bindings).DeepCopy()
}

func (w *walk) editBinding() {
	binding := w.drawBinding()
	if binding == nil {
		return
	}
	spec := &binding.Spec
	w.change(binding, func() {
		switch w.rand.IntN(10) {
		case 0, 1, 2, 3:
			spec.IsOwner = !spec.IsOwner
		case 4, 5:
			spec.Suspend = ref(!ptr.Deref(spec.Suspend, false))
		case 6:
			spec.ExpiresAt = nil
		case 7:
			spec.ExpiresAt = w.drawExpiry()
		default:
			policies := map[v1alpha1.DeletionPolicy]v1alpha1.DeletionPolicy{v1alpha1.DeletionPolicyOrphan: v1alpha1.DeletionPolicyRevoke}
			if spec.DeletionPolicy = policies[spec.DeletionPolicy]; spec.DeletionPolicy == "" {
				spec.DeletionPolicy = v1alpha1.DeletionPolicyOrphan
			}
		}
	})
	w.log("edit %s", describe(binding))
}

// change edits an object as people do. What has expired cannot be prolonged.
func (w *walk) change(object client.Object, edit func()) {
	before := object.DeepCopyObject().(client.Object)
	edit()
	if err := clusterKube.Patch(w.t.Context(), object, client.MergeFrom(before)); !apierrors.IsInvalid(err) {
		w.must(err)
	}
	w.refresh()
}

// withdraw deletes a binding.
func (w *walk) withdraw() {
	if binding := w.drawBinding(); binding != nil && binding.DeletionTimestamp.IsZero() {
		w.log("delete %s", binding.Name)
		w.must(clusterKube.Delete(w.t.Context(), binding))
		w.refresh()
	}
}

// allowOwners edits whether a connection allows owners.
func (w *walk) allowOwners() {
	connection := pick(w, w.live.connections).DeepCopy()
	allowed := !w.chance(60)
	w.log("connection %s allows owners: %t", connection.Name, allowed)
	w.change(connection, func() { connection.Spec.Allowed = &v1alpha1.Allowed{Owner: &allowed} })
}

// drift has the platform's admin make, change or remove a relation.
func (w *walk) drift() {
	user := pick(w, []string{john, john, maria})
	if w.chance(40) {
		w.platform.RemoveRelation(user, acme)
	} else {
		w.platform.SetRelation(user, acme, w.chance(50))
	}
	w.log("the admin changes what %s may do: %s", user, w.related(user))
	w.noteTruth(user)
}

// changeUser deletes, restores, removes or creates a user.
func (w *walk) changeUser() {
	uuid := pick(w, []string{john, john, maria})
	user, found := w.platform.User(uuid)
	switch {
	case !found:
		w.platform.AddUser(delossim.User{UUID: uuid})
		w.log("%s is made a user again", uuid)
	case user.IsDeleted:
		w.platform.RestoreUser(uuid)
		w.log("%s is restored", uuid)
	case w.chance(40):
		w.platform.RemoveUser(uuid)
		w.log("%s is removed", uuid)
	default:
		w.platform.SoftDeleteUser(uuid)
		w.log("%s is deleted", uuid)
	}
	w.noteTruth(uuid)
}

// fault lets one of the fault matrix's faults hit some calls. Left out are those that take time by the real clock, which for the operator
// are calls without an answer as others are, and what no client can tell from the truth.
func (w *walk) fault() {
	operation := pick(w, []delossim.Operation{
		opUser, opUser, opRelate, opRelate, opRelate, opUnrelate, opUnrelate, opUnrelate, delossim.OpLogin, delossim.OpRefresh, delossim.OpList,
	})
	drawn := pick(w, faults)
	times, skip := drawn.times, pick(w, []int{0, 0, 0, 1, 2})
	if times == 0 {
		times = pick(w, []int{1, 1, 2, 4, 8})
	}
	if drawn.slow || drawn.name == "20 MiB body" || drawn.name == "404 in the API's words" && operation == opUser {
		return
	}
	w.platform.Inject(delossim.Fault{Op: operation, Skip: skip, Times: times, Apply: drawn.applied, Failure: drawn.failure(operation)})
	w.log("fault: %s, for %d calls %q after %d", drawn.name, times, operation, skip)
}

func (w *walk) endFaults() {
	w.platform.ClearFaults()
	w.log("no more faults")
}

// changeLag lets writes show late, or at once.
func (w *walk) changeLag() {
	lag := pick(w, []time.Duration{0, 0, time.Second, 5 * time.Second, longestLag})
	w.platform.Adjust(func(s *delossim.Settings) { s.Lag = lag })
	w.log("writes show after %s", lag)
}

func (w *walk) endSessions() {
	w.platform.RevokeSessions()
	w.log("the platform ends its sessions")
}

// killOrStart kills the operator between two runs, or starts it.
func (w *walk) killOrStart() {
	if w.operator != nil {
		w.operator.end("is killed")
		if w.chance(50) {
			return
		}
	}
	w.start()
}

// fallBehind keeps the operator from learning of changes for a few runs.
func (w *walk) fallBehind() {
	if w.operator != nil {
		w.operator.frozen = 1 + w.rand.IntN(5)
		w.log("the cache falls behind for %d runs", w.operator.frozen)
	}
}

// arrive lets a late call arrive before its time is over.
func (w *walk) arrive() {
	if len(w.late) > 0 {
		w.deliver(pick(w, w.late))
	}
}

// timePasses lets time pass; an operator that is down may be started again.
func (w *walk) timePasses() {
	spans := []time.Duration{
		500 * time.Millisecond, 2 * time.Second, 5 * time.Second, 15 * time.Second, 40 * time.Second, 2 * time.Minute, 11 * time.Minute, 35 * time.Minute,
	}
	if len(w.late) > 0 && w.chance(80) {
		spans = spans[:3] // So that something can happen before it arrives.
	}
	if w.operator == nil && w.chance(60) {
		w.start()
	}
	span := pick(w, spans)
	w.log("%s pass", span)
	w.pass(span)
}

// pass lets time pass, and the operator work whenever it is to.
func (w *walk) pass(span time.Duration) {
	w.work()
	for until := w.clock.Now().Add(span); ; {
		next := until
		if w.operator != nil {
			next = w.operator.next(next)
		}
		for _, call := range w.late {
			next = earlier(next, call.deadline)
		}
		w.clock.Advance(max(next.Sub(w.clock.Now()), 0))
		for _, call := range slices.Clone(w.late) {
			if !w.clock.Now().Before(call.deadline) {
				w.deliver(call)
			}
		}
		w.work()
		if !w.clock.Now().Before(until) {
			return
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (w *walk) chance(percent int) bool { return w.rand.IntN(100) < percent }

// pick draws one of several; they have to be in an order that is the same in each walk.
func pick[T any](w *walk, from []T) T { return from[w.rand.IntN(len(from))] }

// log adds a line to the trace, without what two walks of one seed do not share.
func (w *walk) log(format string, args ...any) {
	line := strings.NewReplacer(w.host(), "HOST", w.namespace+"/", "", w.namespace, "NAMESPACE").Replace(fmt.Sprintf(format, args...))
	w.trace = append(w.trace, fmt.Sprintf("%4d %s %s", w.step, w.clock.Now().UTC().Format("02 15:04:05.0"), line))
}

// report fails the test with a violation and what led to it.
func (w *walk) report(what violation) {
	w.t.Errorf("seed %d, step %d of %d: %s\n\nWhat happened before:\n%s\n\nReplay with: go test ./internal/controller -run '^TestModel$' -count=1 -args -model.seed=%d -model.steps=%d",
		w.seed, w.step, w.steps, what, strings.Join(w.trace[max(0, len(w.trace)-told):], "\n"), w.seed, w.steps)
}
