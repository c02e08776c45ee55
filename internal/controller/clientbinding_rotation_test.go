package controller

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// TestRotationDuringARevocation: the run has the old session, which the API refuses, and the new one is open before the
// run ends. The connection is as ready as it was, so nothing of its status tells.
func TestRotationDuringARevocation(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.delete()
	rotated := false
	w.bindings().Leads = func() bool {
		if !rotated {
			rotated = true
			w.platform.SetPassword(login, "next")
			w.platform.RevokeSessions()
			secret := &corev1.Secret{}
			if err := w.kube.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "delos-credentials"}, secret); err != nil {
				t.Error(err)
			}
			w.edit(secret, func() { secret.Data["password"] = []byte("next") })
			w.reconcileConnection()
		}
		return true
	}

	wait := w.reconcile()

	expectEqual(t, "wait", soonest, wait)
	w.reconcile()
	expectEqual(t, "gone", true, w.gone())
}

// TestRevocationLooksForItsConnectionEachMinute, however long that has not been there.
func TestRevocationLooksForItsConnectionEachMinute(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.pool.Close(w.request("default").NamespacedName)
	w.delete()
	connection := w.connection()
	connection.Status.Conditions[0].Status = "False"
	if err := w.kube.Status().Update(t.Context(), connection); err != nil {
		t.Fatal(err)
	}
	for range 15 {
		wait := w.reconcile()
		expectEqual(t, "wait", time.Minute, wait)
		w.clock.Advance(wait)
	}
}

// TestNewSessionWakesThoseWhoWait, and not what is well.
func TestNewSessionWakesThoseWhoWait(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	woken := func() (names []string) {
		for _, binding := range w.bindings().waitingFor(t.Context(), w.request("default").NamespacedName) {
			names = append(names, binding.Name)
		}
		return names
	}
	expectEqual(t, "woken while bound", []string(nil), woken())
	w.delete()
	expectEqual(t, "woken while being deleted", []string{"john"}, woken())
	expectEqual(t, "told", client.ObjectKey{Namespace: w.namespace, Name: "default"}, (<-w.pool.Opened()).Object)
}

// TestRemovalThatIsAcceptedAtLast is confirmed soon, and not when an object that stalled would be looked at.
func TestRemovalThatIsAcceptedAtLast(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.delete()
	refusal := w.platform.Inject(delossim.Fault{Op: opUnrelate, Failure: delossim.Answer{Status: 403, Body: `{"error": "Permission denied"}`}})
	for w.clock.Since(start) < 11*time.Minute {
		w.clock.Advance(w.reconcile())
	}
	refusal.Remove()
	w.platform.Adjust(func(s *delossim.Settings) { s.LagReads = 2 })
	w.clock.Advance(w.reconcile())
	expectEqual(t, "reason", v1alpha1.ReasonRevoking, w.reason())
	since := w.clock.Now()
	for !w.gone() && w.clock.Since(since) < time.Hour {
		w.clock.Advance(w.reconcile())
	}
	if took := w.clock.Since(since); took > 10*time.Second {
		t.Errorf("confirmed %s after it was accepted", took)
	}
}

// TestHostileUser: the calls about one user are answered as if the token were refused, and others go on.
func TestHostileUser(t *testing.T) {
	w := newWorld(t)
	w.platform.AddToken("token")
	w.createSecret(map[string]string{"token": "token"})
	w.createConnection(nil)
	w.reconcileConnection()
	w.platform.Inject(delossim.Fault{User: john, Failure: delossim.Answer{Status: 401}})
	w.bind(nil)

	for range 3 {
		w.clock.Advance(w.reconcile())
	}
	w.reconcileConnection()

	expectEqual(t, "reason of the binding", v1alpha1.ReasonForbidden, w.reason())
	expectEqual(t, "reason of the connection", v1alpha1.ReasonTokenAccepted, w.connectionReason())
	if w.pool.Session(w.connection()) == nil {
		t.Error("the session is closed")
	}
}
