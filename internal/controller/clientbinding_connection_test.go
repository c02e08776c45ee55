package controller

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// withoutSecrets is a Kubernetes client that may read no Secret but one.
type withoutSecrets struct {
	client.Client
	but string
}

func (c withoutSecrets) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if key.Name != c.but && (object.GetObjectKind().GroupVersionKind().Kind == "Secret" || isSecret(object)) {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, key.Name, nil)
	}
	return c.Client.Get(ctx, key, object, options...)
}

func isSecret(object client.Object) bool {
	_, is := object.(*corev1.Secret)
	return is
}

// TestConnectionThatCannotBeUsed shows what a binding says of its connection. None of these calls the API.
func TestConnectionThatCannotBeUsed(t *testing.T) {
	cases := map[string]struct {
		arrange func(*world)
		binding func(*v1alpha1.ClientBinding)
		want    func(*world) []condition
	}{
		"there is none": {
			want: func(w *world) []condition {
				return failing("ConnectionNotFound", "Waits for APIConnection "+w.namespace+"/default, which does not exist: create it, or create a ClientBinding with the right connectionRef and delete this one", 0)
			},
		},
		"another one is named": {
			binding: func(b *v1alpha1.ClientBinding) {
				b.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: "other"}
			},
			want: func(w *world) []condition {
				return failing("ConnectionNotFound", "Waits for APIConnection "+w.namespace+"/other, which does not exist: create it, or create a ClientBinding with the right connectionRef and delete this one", 0)
			},
		},
		"it was not looked at": {
			arrange: func(w *world) { w.createConnection(nil) },
			want: func(w *world) []condition {
				return failing("ConnectionNotReady", "Waits for APIConnection "+w.namespace+"/default to become ready (it was not checked yet)", 0)
			},
		},
		"it has no Secret": {
			arrange: func(w *world) { w.createConnection(nil); w.reconcileConnection() },
			want: func(w *world) []condition {
				return failing("ConnectionNotReady", "Waits for APIConnection "+w.namespace+"/default to become ready (SecretNotFound)", 0)
			},
		},
		"it belongs to another namespace": {
			binding: func(b *v1alpha1.ClientBinding) {
				b.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: "default", Namespace: "bank"}
			},
			want: func(w *world) []condition {
				return stuck("NotAllowed", "There is no APIConnection bank/default that allows ClientBindings of namespace "+w.namespace+": ask those who manage namespace bank, or delete this ClientBinding", 0, 0)
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if tc.arrange != nil {
				tc.arrange(w)
			}
			w.bind(tc.binding)

			w.reconcile()

			want := v1alpha1.ClientBindingStatus{ObservedGeneration: -1, Conditions: tc.want(w)}
			if want.Conditions[1].Type == "Stalled" {
				want.ObservedGeneration = 1
			}
			w.expect(want)
			expectEqual(t, "calls", operations(nil), w.calls())
		})
	}
}

func TestConnectionToAnotherHost(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.loseConnection()
	w.createConnection(func(c *v1alpha1.APIConnection) { c.Spec.URL = "https://elsewhere.example" })
	w.calls()
	w.clock.Advance(2 * time.Hour)

	w.reconcile()

	expectEqual(t, "reason", "ConnectionChanged", w.reason())
	expectEqual(t, "calls", operations(nil), w.calls())
}

// TestOperatorThatJustStarted shows that a binding with work to do waits in silence for the login.
func TestOperatorThatJustStarted(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.restart()
	w.bind(nil)

	expectEqual(t, "wait", startingRetry, w.reconcile())

	w.expect(v1alpha1.ClientBindingStatus{ObservedGeneration: -1})
	w.reconcileConnection()
	w.reconcile()
	expectEqual(t, "reason", "Bound", w.reason())
}

// TestSecretThatCannotBeRead shows that an operator which lost a right says so, on the connection and on what waits.
func TestSecretThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.restart()
	w.kube = withoutSecrets{Client: w.kube}
	w.clock.Advance(4 * time.Hour)
	w.reconcile()
	expectEqual(t, "reason before the connection was looked at", "Unverified", w.reason())

	w.reconcileConnection()
	w.delete()
	w.reconcile()

	expectEqual(t, "reason of the connection", "SecretUnreadable", w.connectionReason())
	expectEqual(t, "reason of the binding", "RevocationBlocked", w.reason())
}
