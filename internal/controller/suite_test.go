package controller

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/apiservertest"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/metrics"
)

// cluster is the real API server that all tests of the package share; each has a namespace of its own.
var (
	cluster       *rest.Config
	clusterScheme = runtime.NewScheme()
	clusterKube   client.WithWatch
)

func TestMain(m *testing.M) {
	// Parallel tests mostly wait, for the API server or for a call to time out. -parallel goes before this.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	ctrl.SetLogger(logr.Discard())
	os.Exit(apiservertest.Run(m, &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}, prepare))
}

func prepare(config *rest.Config) (err error) {
	// The tests are many clients in one process.
	config.QPS = -1
	cluster = config
	if err := errors.Join(corev1.AddToScheme(clusterScheme), rbacv1.AddToScheme(clusterScheme), v1alpha1.AddToScheme(clusterScheme)); err != nil {
		return err
	}
	// One for all, since each would ask the API server for everything that it serves.
	clusterKube, err = client.NewWithWatch(cluster, client.Options{Scheme: clusterScheme})
	return err
}

// The users and clients of most tests.
const (
	john   = "user_abc123def"
	maria  = "158a190e-c4a9-4e6c-bf9b-4ef74ae345eb"
	acme   = "cust_789xyz"
	globex = "DoxdEEV-4IJq-zKeUYqrtqVDK"

	login    = "operator@example.com"
	password = "correct horse"
)

// start is when every test begins, by the clock of the operator and the platform.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clock is the time of a test.
type clock = clockwork.FakeClock

// at is a time of a test in the form of a status.
func at(after time.Duration) metav1.Time { return metav1.NewTime(start.Add(after)) }

// world is one test's namespace, platform and operator. Nothing runs by itself: tests call Reconcile.
type world struct {
	t         *testing.T
	namespace string
	clock     *clock
	platform  *delossim.Server
	url       string
	kube      client.Client
	// connections is the flag --default-connection.
	connections Connections
	pool        *connection.Pool
	brake       *Brake
	writes      *Writes
	recorder    *events.FakeRecorder
	// tracer makes spans since the operator was last started; nil for none.
	tracer trace.Tracer
	// registry has the metrics since the operator was last started.
	registry *prometheus.Registry
	// shard that the operator is; nil for all.
	shard *Shard
	// reconciler of the bindings since the operator was last started.
	reconciler *ClientBindingReconciler
}

// newWorld has John and Maria, two clients, and no relation.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: clockwork.NewFakeClockAt(start), recorder: events.NewFakeRecorder(1000)}
	w.kube = indexedClient{clusterKube, &w.connections}
	w.platform = delossim.New(delossim.Config{
		Accounts: []delossim.Account{{Login: login, Password: password}},
		Users:    []delossim.User{{UUID: john, Username: "john.smith"}, {UUID: maria, Username: "maria.garcia", Status: "NEW"}},
		Clients:  []string{acme, globex},
		Clock:    w.clock.Now,
	})
	server := httptest.NewServer(w.platform)
	t.Cleanup(server.Close)
	w.url = server.URL
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	w.create(namespace)
	w.namespace = namespace.Name
	w.restart()
	return w
}

// restart forgets all that the operator has in memory.
func (w *world) restart() {
	w.writes = &Writes{Kube: w.kube, Live: w.kube}
	w.brake = &Brake{Writes: w.writes, Events: w.recorder}
	w.registry = prometheus.NewRegistry()
	counters := metrics.New(w.registry)
	w.pool = connection.NewPool(connection.Options{AllowHTTPLoopback: true, AllowedHosts: []string{"127.0.0.1"}, UserAgent: "test", Now: w.clock.Now, AfterFunc: w.afterFunc, Tracer: w.tracer, Metrics: counters})
	w.pool.OnTurn(func(connection.Relation, int) {})
	w.reconciler = &ClientBindingReconciler{Kube: w.kube, Pool: w.pool, Events: w.recorder, Schedule: w.schedule(), Brake: w.brake, Metrics: counters, Writes: w.writes, Shard: w.shard, Tracer: w.tracer}
}

func (w *world) afterFunc(wait time.Duration, f func()) func() bool {
	return w.clock.AfterFunc(wait, f).Stop
}

func (w *world) schedule() Schedule {
	return Schedule{
		Now:        w.clock.Now,
		StallAfter: 10 * time.Minute,
		Jitter:     func(wait time.Duration) time.Duration { return wait },
	}
}

func (w *world) create(object client.Object) {
	w.t.Helper()
	if err := w.kube.Create(w.t.Context(), object); err != nil {
		w.t.Fatalf("creating %T: %v", object, err)
	}
	if _, isBinding := object.(*v1alpha1.ClientBinding); isBinding {
		key := client.ObjectKeyFromObject(object)
		w.t.Cleanup(func() { w.forget(key) })
	}
}

// forget takes a binding away at the end of its test. All tests declare the same relation, and a later one may
// get the same port for its platform: the binding that is left over would be the older one of the two.
func (w *world) forget(key client.ObjectKey) {
	w.t.Helper()
	ctx := context.WithoutCancel(w.t.Context())
	left := &v1alpha1.ClientBinding{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	err := w.kube.Patch(ctx, left, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))
	if err == nil {
		err = w.kube.Delete(ctx, left)
	}
	if client.IgnoreNotFound(err) != nil {
		w.t.Error(err)
	}
}

// connect makes a Secret and a connection that works, and opens its session.
func (w *world) connect() {
	w.t.Helper()
	w.createSecret(map[string]string{"login": login, "password": password})
	w.createConnection(nil)
	w.reconcileConnection()
	if got := w.connection(); !meta.IsStatusConditionTrue(got.Status.Conditions, v1alpha1.ConditionReady) {
		w.t.Fatalf("the connection did not become ready: %+v", got.Status.Conditions)
	}
	w.platform.ResetCalls()
	w.events()
}

func (w *world) createSecret(data map[string]string) *corev1.Secret {
	w.t.Helper()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "delos-credentials"},
		StringData: data,
	}
	w.create(secret)
	return secret
}

func (w *world) createConnection(change func(*v1alpha1.APIConnection)) {
	w.t.Helper()
	object := &v1alpha1.APIConnection{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "default"},
		Spec: v1alpha1.APIConnectionSpec{
			URL:         w.url,
			Credentials: v1alpha1.Credentials{SecretRef: v1alpha1.SecretReference{Name: "delos-credentials"}},
		},
	}
	if change != nil {
		change(object)
	}
	w.create(object)
}

// bind declares that John is related to Acme.
func (w *world) bind(change func(*v1alpha1.ClientBinding)) {
	w.t.Helper()
	object := &v1alpha1.ClientBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "john"},
		Spec:       v1alpha1.ClientBindingSpec{UserUUID: john, CUID: acme},
	}
	if change != nil {
		change(object)
	}
	w.create(object)
}

// binding returns the binding as the API server has it.
func (w *world) binding() *v1alpha1.ClientBinding {
	w.t.Helper()
	object := w.find()
	if object == nil {
		w.t.Fatal("the binding no longer exists")
	}
	return object
}

// find returns the binding as the API server has it; nil when it no longer exists.
func (w *world) find() *v1alpha1.ClientBinding {
	w.t.Helper()
	object := &v1alpha1.ClientBinding{}
	err := w.kube.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "john"}, object)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return object
}

func (w *world) connection() *v1alpha1.APIConnection {
	w.t.Helper()
	object := &v1alpha1.APIConnection{}
	if err := w.kube.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "default"}, object); err != nil {
		w.t.Fatal(err)
	}
	return object
}

// loseConnection takes the connection away although bindings need it, as a person does who takes its finalizer away.
func (w *world) loseConnection() {
	w.t.Helper()
	connection := w.connection()
	w.edit(connection, func() { connection.Finalizers = nil })
	if err := w.kube.Delete(w.t.Context(), connection); err != nil {
		w.t.Fatal(err)
	}
}

// gone reports whether the binding no longer exists.
func (w *world) gone() bool {
	w.t.Helper()
	return w.find() == nil
}

func (w *world) edit(object client.Object, change func()) {
	w.t.Helper()
	before := object.DeepCopyObject().(client.Object)
	change()
	if err := w.kube.Patch(w.t.Context(), object, client.MergeFrom(before)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) delete() {
	w.t.Helper()
	if err := w.kube.Delete(w.t.Context(), w.binding()); err != nil {
		w.t.Fatal(err)
	}
}

// reconcile looks once at the binding and returns when it is to be looked at again. The reconciler that protects connections has
// looked before.
func (w *world) reconcile() time.Duration {
	w.t.Helper()
	w.reconcileUsage()
	result := w.look(w.request("john").NamespacedName)
	if binding := w.find(); binding != nil {
		w.assertKStatus(binding, binding.Status.Conditions)
	}
	return result.RequeueAfter
}

func (w *world) bindings() *ClientBindingReconciler {
	w.reconciler.Connections, w.reconciler.Schedule, w.reconciler.Kube = w.connections, w.schedule(), w.kube
	w.writes.Kube, w.writes.Live = w.kube, w.kube
	return w.reconciler
}

// look looks once at the relation of a binding; not at all when there is no such binding.
func (w *world) look(name client.ObjectKey) ctrl.Result {
	w.t.Helper()
	result, err := w.lookWith(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	return result
}

func (w *world) lookWith(ctx context.Context, name client.ObjectKey) (ctrl.Result, error) {
	w.t.Helper()
	binding := &v1alpha1.ClientBinding{}
	if err := w.kube.Get(ctx, name, binding); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	host, err := w.bindings().hostOf(ctx, binding)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.bindings().Reconcile(ctx, connection.Relation{Host: host, UserUUID: binding.Spec.UserUUID, CUID: binding.Spec.CUID})
}

// reconcileUsage protects the connection and its Secret, or releases them.
func (w *world) reconcileUsage() {
	w.t.Helper()
	w.reconcileUsageOf(w.request("default"))
}

func (w *world) reconcileUsageOf(connection ctrl.Request) {
	w.t.Helper()
	if _, err := w.usage().Reconcile(w.t.Context(), connection); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) usage() *UsageReconciler {
	return &UsageReconciler{Kube: w.kube, Writes: w.writes, Live: w.kube, Connections: w.connections, Secrets: unwatched{w.kube}, Identity: operatorIdentity, Brake: w.brake, Shard: w.shard, Events: w.recorder, Now: w.clock.Now}
}

func (w *world) reconcileConnection() time.Duration {
	w.t.Helper()
	reconciler := &APIConnectionReconciler{Kube: w.kube, Writes: w.writes, Secrets: unwatched{w.kube}, Identity: operatorIdentity, Pool: w.pool, Events: w.recorder, Schedule: w.schedule(), Shard: w.shard}
	result, err := reconciler.Reconcile(w.t.Context(), w.request("default"))
	if err != nil {
		w.t.Fatal(err)
	}
	connection := w.connection()
	w.assertKStatus(connection, connection.Status.Conditions)
	return result.RequeueAfter
}

// reconcileConnectionAt looks once at any connection.
func (w *world) reconcileConnectionAt(name client.ObjectKey) {
	w.t.Helper()
	reconciler := &APIConnectionReconciler{Kube: w.kube, Writes: w.writes, Secrets: unwatched{w.kube}, Identity: operatorIdentity, Pool: w.pool, Events: w.recorder, Schedule: w.schedule(), Shard: w.shard}
	if _, err := reconciler.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: name}); err != nil {
		w.t.Fatal(err)
	}
}

// operatorIdentity is the username of the operator as it is shipped.
const operatorIdentity Identity = "system:serviceaccount:clientbinding-system:clientbinding-operator"

// unwatched reads Secrets when it is asked, where nothing runs that could watch them.
type unwatched struct{ client.Reader }

func (unwatched) Follow(client.ObjectKey, ...string) {}

func (w *world) request(name string) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKey{Namespace: w.namespace, Name: name}}
}

// assertKStatus compares our conditions with what the library of Flux and kubectl makes of the object.
func (w *world) assertKStatus(object client.Object, conditions []metav1.Condition) {
	w.t.Helper()
	if problem := kstatusProblem(object, conditions); problem != "" {
		w.t.Error(problem)
	}
}

// kstatusProblem says how our conditions and that library disagree; empty when they agree.
func kstatusProblem(object client.Object, conditions []metav1.Condition) string {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return err.Error()
	}
	computed, err := status.Compute(&unstructured.Unstructured{Object: content})
	if err != nil {
		return err.Error()
	}
	observed, _, err := unstructured.NestedInt64(content, "status", "observedGeneration")
	if err != nil {
		return err.Error()
	}
	reconciling := meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionReconciling)
	stalled := meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionStalled)
	want := status.InProgressStatus
	switch {
	case object.GetDeletionTimestamp() != nil:
		want = status.TerminatingStatus
	case stalled && reconciling:
		return fmt.Sprintf("both Stalled and Reconciling: %+v", conditions)
	case observed != object.GetGeneration(): // nobody has looked at it since it was edited
	case stalled:
		want = status.FailedStatus
	case !reconciling && meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionReady):
		want = status.CurrentStatus
	}
	if computed.Status != want {
		return fmt.Sprintf("kstatus computes %s (%s), want %s for %+v", computed.Status, computed.Message, want, conditions)
	}
	return ""
}

// events returns what was told since the last call.
func (w *world) events() []string {
	var told []string
	for {
		select {
		case event := <-w.recorder.Events:
			told = append(told, event)
		default:
			return told
		}
	}
}

// calls returns the operations that the platform was asked for since the last call.
func (w *world) calls() []delossim.Operation {
	var operations []delossim.Operation
	for _, call := range w.platform.Calls() {
		operations = append(operations, call.Op)
	}
	w.platform.ResetCalls()
	return operations
}

// expect compares a whole status, which is about the binding's present generation.
func (w *world) expect(want v1alpha1.ClientBindingStatus) {
	w.t.Helper()
	got := w.binding()
	for i := range want.Conditions {
		want.Conditions[i].ObservedGeneration = got.Generation
	}
	if diff := cmp.Diff(want, got.Status, sameTime); diff != "" {
		w.t.Errorf("status (-want +got):\n%s", diff)
	}
}

func expectEqual(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, sameTime); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// sameTime compares times by the instant, since the API server's have another location.
var sameTime = cmp.Comparer(func(a, b metav1.Time) bool { return a.Equal(&b) })

func ready(value metav1.ConditionStatus, reason, message string, since time.Duration) metav1.Condition {
	return metav1.Condition{Type: "Ready", Status: value, Reason: reason, Message: message, LastTransitionTime: at(since)}
}

// failing are the conditions of an object that failed at a time and retries by itself.
func failing(reason, message string, since time.Duration) []metav1.Condition {
	return []metav1.Condition{
		ready("False", reason, message, since),
		{Type: "Reconciling", Status: "True", Reason: reason, Message: message, LastTransitionTime: at(since)},
	}
}

// stuck are the conditions of an object that needs help.
func stuck(reason, message string, failedAt, stalledAt time.Duration) []metav1.Condition {
	return []metav1.Condition{
		ready("False", reason, message, failedAt),
		{Type: "Stalled", Status: "True", Reason: reason, Message: message, LastTransitionTime: at(stalledAt)},
	}
}

// claim is what the operator answers for in the world's platform.
func (w *world) claim(origin v1alpha1.Origin, inFlight ...v1alpha1.Call) *v1alpha1.Claim {
	return &v1alpha1.Claim{
		Origin:     origin,
		Connection: v1alpha1.ClaimConnection{Namespace: w.namespace, Name: "default", Host: w.host()},
		Account:    w.account(),
		InFlight:   inFlight,
	}
}

// account names the account with which the world's connection acts.
func (w *world) account() string {
	return w.pool.Session(w.connection()).Account()
}

func ref[T any](value T) *T { return &value }

type condition = metav1.Condition

// failingSince are the conditions of an object that is not ready since one time and works on it since another.
func failingSince(reason, message string, failedAt, since time.Duration) []condition {
	conditions := failing(reason, message, since)
	conditions[0].LastTransitionTime = at(failedAt)
	return conditions
}

// reason is why the binding is ready or not.
func (w *world) reason() string {
	w.t.Helper()
	return meta.FindStatusCondition(w.binding().Status.Conditions, v1alpha1.ConditionReady).Reason
}

// truncated is a time of a test in the precision of a status.
func truncated(after time.Duration) metav1.Time {
	return metav1.NewTime(start.Add(after).Truncate(time.Second))
}

// host is the platform's host and port.
func (w *world) host() string { return strings.TrimPrefix(w.url, "http://") }

func duration(value time.Duration) *metav1.Duration { return &metav1.Duration{Duration: value} }

// connectionReason is why the connection is ready or not.
func (w *world) connectionReason() string {
	w.t.Helper()
	return meta.FindStatusCondition(w.connection().Status.Conditions, v1alpha1.ConditionReady).Reason
}

// ready reports whether the binding says that all is as declared.
func (w *world) ready() bool {
	w.t.Helper()
	return meta.IsStatusConditionTrue(w.binding().Status.Conditions, v1alpha1.ConditionReady)
}
