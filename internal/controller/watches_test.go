package controller

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/metrics"
	"github.com/delos-financial/clientbinding-operator/internal/secretwatch"
)

// runManager lets the operator of a world run by itself, by the real clock, until the test ends.
func (w *world) runManager() {
	w.t.Helper()
	mgr, err := ctrl.NewManager(cluster, ctrl.Options{
		Scheme:     clusterScheme,
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Cache:      cache.Options{DefaultTransform: Strip, DefaultNamespaces: map[string]cache.Config{w.namespace: {}}},
		Client:     client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
		Controller: config.Controller{SkipNameValidation: ref(true)},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(w.t.Context())
	secrets, err := secretwatch.New(ctx, cluster)
	if err != nil {
		w.t.Fatal(err)
	}
	schedule := Schedule{Now: time.Now, StallAfter: 10 * time.Minute, Jitter: Jitter}
	w.pool = connection.NewPool(connection.Options{AllowHTTPLoopback: true, AllowedHosts: []string{"127.0.0.1"}, UserAgent: "test", Now: time.Now, Metrics: metrics.New(prometheus.NewRegistry())})
	writes := &Writes{Kube: mgr.GetClient(), Live: mgr.GetAPIReader()}
	brake := &Brake{Writes: writes, Events: w.recorder}
	bindings := &ClientBindingReconciler{Kube: mgr.GetClient(), Writes: writes, Connections: w.connections, Pool: w.pool, Events: w.recorder, Schedule: schedule, Brake: brake}
	usage := &UsageReconciler{Kube: mgr.GetClient(), Writes: writes, Connections: w.connections, Live: mgr.GetAPIReader(), Secrets: secrets, Identity: operatorIdentity, Brake: brake, Events: w.recorder, Now: time.Now}
	connections := &APIConnectionReconciler{Kube: mgr.GetClient(), Writes: writes, Secrets: secrets, Identity: operatorIdentity, Pool: w.pool, Events: w.recorder, Schedule: schedule, Policies: NewPolicies(mgr.GetAPIReader())}
	if err := bindings.SetupWithManager(ctx, mgr, controller.TypedOptions[connection.Relation]{}); err != nil {
		w.t.Fatal(err)
	}
	if err := connections.SetupWithManager(mgr, secrets.Changes(), controller.Options{}); err != nil {
		w.t.Fatal(err)
	}
	if err := usage.SetupWithManager(mgr, secrets.Changes()); err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	w.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			w.t.Errorf("the manager: %v", err)
		}
	})
}

// eventually waits until the reasons of the connection and the binding are as wanted.
func (w *world) eventually(connectionReason, bindingReason string) {
	w.t.Helper()
	reason := func(conditions []condition) string {
		if ready := meta.FindStatusCondition(conditions, "Ready"); ready != nil {
			return ready.Reason
		}
		return ""
	}
	var got [2]string
	err := wait.PollUntilContextTimeout(w.t.Context(), 20*time.Millisecond, 20*time.Second, true, func(context.Context) (bool, error) {
		got = [2]string{reason(w.connection().Status.Conditions), reason(w.binding().Status.Conditions)}
		return got == [2]string{connectionReason, bindingReason}, nil
	})
	if err != nil {
		w.t.Fatalf("the reasons are %q, want %q", got, [2]string{connectionReason, bindingReason})
	}
}

// TestWakeUps shows that what depends on each other learns of changes by itself, and long before its next
// try: a binding from its connection, a connection from its Secret and from calls that were refused.
func TestWakeUps(t *testing.T) {
	w := newWorld(t)
	w.clock.Advance(time.Since(start))
	w.runManager()
	w.createConnection(nil)
	w.bind(nil)
	w.eventually("SecretNotFound", "ConnectionNotReady")

	secret := w.createSecret(map[string]string{"login": login})
	w.eventually("SecretInvalid", "ConnectionNotReady")

	w.edit(secret, func() { secret.StringData = map[string]string{"password": "wrong"} })
	w.eventually("LoginRefused", "ConnectionNotReady")

	w.edit(secret, func() { secret.StringData = map[string]string{"password": password} })
	w.eventually("LoggedIn", "Bound")

	w.platform.SetPassword(login, "changed")
	w.platform.RevokeSessions()
	binding := w.binding()
	w.edit(binding, func() { binding.Spec.IsOwner = true })
	w.eventually("LoginRefused", "ConnectionNotReady")

	w.edit(secret, func() { secret.StringData = map[string]string{"password": "changed"} })
	w.eventually("LoggedIn", "Bound")

	if err := w.kube.Delete(t.Context(), w.binding()); err != nil {
		t.Fatal(err)
	}
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 20*time.Second, true, func(context.Context) (bool, error) { return w.gone(), nil })
	if err != nil {
		t.Fatal("the binding did not go")
	}
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
	expectEqual(t, "logins", 4, w.platform.Count(delossim.OpLogin))
}

// TestWakeUpsOfWhoMayUse shows that a binding learns by itself when its connection, or the labels of its namespace, say
// something else about who may use it.
func TestWakeUpsOfWhoMayUse(t *testing.T) {
	w := newWorld(t)
	w.clock.Advance(time.Since(start))
	w.runManager()
	w.createSecret(map[string]string{"login": login, "password": password})
	w.createConnection(func(c *v1alpha1.APIConnection) { c.Spec.Allowed = &v1alpha1.Allowed{Namespaces: division("bank")} })
	w.bind(nil)
	// Nobody needs the connection yet, and it is not protected.
	w.eventually("LoggedIn", "NotAllowed")

	namespace := &corev1.Namespace{}
	if err := w.kube.Get(t.Context(), client.ObjectKey{Name: w.namespace}, namespace); err != nil {
		t.Fatal(err)
	}
	w.edit(namespace, func() { namespace.Labels["division"] = "bank" })
	w.eventually("LoggedIn", "Bound")

	w.edit(namespace, func() { delete(namespace.Labels, "division") })
	w.eventually("LoggedIn", "NotAllowed")

	w.share(nil)
	w.eventually("LoggedIn", "Bound")

	w.share(&v1alpha1.Allowed{CUIDs: []string{"other"}})
	w.eventually("LoggedIn", "NotAllowed")
}
