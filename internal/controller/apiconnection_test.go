package controller

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

func TestConnection(t *testing.T) {
	cases := map[string]struct {
		secret  map[string]string
		spec    func(*v1alpha1.APIConnection)
		arrange func(*world)
		want    func(*world) []condition
		wait    time.Duration
		logins  int
		// revokes: it is not ready, and access can be revoked through it all the same.
		revokes bool
	}{
		"login and password": {
			secret: map[string]string{"login": login, "password": password},
			want: func(w *world) []condition {
				return []condition{ready("True", "LoggedIn", "The Delos API at "+w.host()+" accepted the login of Secret "+w.namespace+"/delos-credentials", 0)}
			},
			wait: time.Hour, logins: 1,
		},
		"a token": {
			secret:  map[string]string{"token": "abc.def.ghi"},
			arrange: func(w *world) { w.platform.AddToken("abc.def.ghi") },
			want: func(w *world) []condition {
				return []condition{ready("True", "TokenAccepted", "The Delos API at "+w.host()+" accepted the token of Secret "+w.namespace+"/delos-credentials", 0)}
			},
			wait: time.Hour,
		},
		"a token that the API does not take": {
			secret: map[string]string{"token": "abc.def.ghi"},
			want: func(w *world) []condition {
				return stuck("LoginRefused", "The Delos API refuses the credentials of Secret "+w.namespace+"/delos-credentials (the API does not accept the token): correct its keys login and password, or token. "+
					`If the API takes the token without "Bearer " before it, set spec.dialect.authorization of APIConnection `+w.namespace+"/default to Token", 0, 0)
			},
			wait: 15 * time.Minute,
		},
		"a login that is accepted, and a token that is not": {
			secret:  map[string]string{"login": login, "password": password},
			arrange: func(w *world) { w.platform.Adjust(func(s *delossim.Settings) { s.BareToken = true }) },
			want: func(w *world) []condition {
				return failing("Unauthorized", "The Delos API does not accept the session of APIConnection "+w.namespace+"/default, even after it was renewed (HTTP 401): Unauthorized. "+
					`If the API takes the token without "Bearer " before it, set spec.dialect.authorization of APIConnection `+w.namespace+"/default to Token. Tried again within a minute", 0)
			},
			wait: 2 * time.Second, logins: 1,
		},
		"a token in the form that the API takes": {
			secret:  map[string]string{"login": login, "password": password},
			spec:    func(c *v1alpha1.APIConnection) { c.Spec.Dialect = &v1alpha1.Dialect{Authorization: "Token"} },
			arrange: func(w *world) { w.platform.Adjust(func(s *delossim.Settings) { s.BareToken = true }) },
			want: func(w *world) []condition {
				return []condition{ready("True", "LoggedIn", "The Delos API at "+w.host()+" accepted the login of Secret "+w.namespace+"/delos-credentials", 0)}
			},
			wait: time.Hour, logins: 1,
		},
		"a token that expired": {
			secret: map[string]string{"token": jwt(start.Add(-time.Minute))},
			want: func(w *world) []condition {
				return stuck("TokenExpired", "The token of Secret "+w.namespace+"/delos-credentials expired at 2026-03-01T11:59:00Z: put a new one there. Tried again within a minute", 0, 0)
			},
			wait: time.Minute,
		},
		"a token that will expire": {
			secret:  map[string]string{"token": jwt(start.Add(20 * time.Minute))},
			arrange: func(w *world) { w.platform.AddToken(jwt(start.Add(20 * time.Minute))) },
			want: func(w *world) []condition {
				return []condition{ready("True", "TokenAccepted", "The Delos API at "+w.host()+" accepted the token of Secret "+w.namespace+"/delos-credentials", 0)}
			},
			wait: 20 * time.Minute,
		},
		"its own interval": {
			secret: map[string]string{"login": login, "password": password},
			spec:   func(c *v1alpha1.APIConnection) { c.Spec.Interval = duration(5 * time.Minute) },
			want: func(w *world) []condition {
				return []condition{ready("True", "LoggedIn", "The Delos API at "+w.host()+" accepted the login of Secret "+w.namespace+"/delos-credentials", 0)}
			},
			wait: 5 * time.Minute, logins: 1,
		},
		"no Secret": {
			want: func(w *world) []condition {
				return stuck("SecretNotFound", "Secret "+w.namespace+"/delos-credentials does not exist: create it with the keys login and password, or token, or correct spec.credentials.secretRef. Tried again within a minute", 0, 0)
			},
			wait: time.Minute,
		},
		"a key is missing": {
			secret: map[string]string{"login": login},
			want: func(w *world) []condition {
				return stuck("SecretInvalid", "Secret "+w.namespace+"/delos-credentials has no key password: add the account's password. Tried again within a minute", 0, 0)
			},
			wait: time.Minute,
		},
		"a wrong password": {
			secret: map[string]string{"login": login, "password": "wrong"},
			want: func(w *world) []condition {
				return stuck("LoginRefused", "The Delos API refuses the credentials of Secret "+w.namespace+"/delos-credentials (Unauthorized): correct its keys login and password, or token", 0, 0)
			},
			wait: 15 * time.Minute, logins: 1,
		},
		"an authority that cannot be read": {
			secret: map[string]string{"login": login, "password": password},
			spec: func(c *v1alpha1.APIConnection) {
				c.Spec.CABundle = "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"
			},
			want: func(*world) []condition {
				return stuck("InvalidSpec", "spec.caBundle holds no certificate that can be read: it must be one or more PEM blocks of type CERTIFICATE. Tried again within a minute", 0, 0)
			},
			wait: time.Minute,
		},
		"a selector of labels that there cannot be": {
			secret: map[string]string{"login": login, "password": password},
			spec: func(c *v1alpha1.APIConnection) {
				c.Spec.Allowed = &v1alpha1.Allowed{Namespaces: division("the bank")}
			},
			want: func(*world) []condition {
				return stuck("InvalidSpec", "spec.allowed.namespaces.selector is not valid, so no ClientBinding is allowed until it is corrected: "+
					`values[0][division]: Invalid value: "the bank": a valid label must be an empty string or consist of alphanumeric characters, `+
					"'-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', "+
					"regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?'). Tried again within a minute", 0, 0)
			},
			wait: time.Minute, logins: 1, revokes: true,
		},
		"an API that fails": {
			secret: map[string]string{"login": login, "password": password},
			arrange: func(w *world) {
				w.platform.Inject(delossim.Fault{Failure: delossim.Answer{Status: 502, Body: "<html>"}})
			},
			want: func(*world) []condition {
				return failing("APIUnavailable", "The Delos API fails (HTTP 502). Tried again within a minute", 0)
			},
			wait: 2 * time.Second, logins: 1,
		},
		"nobody listens": {
			secret: map[string]string{"login": login, "password": password},
			spec:   func(c *v1alpha1.APIConnection) { c.Spec.URL = "http://127.0.0.1:1" },
			want: func(*world) []condition {
				return failing("APIUnavailable", "The Delos API gave no whole answer: 127.0.0.1:1 refused the connection. Tried again within a minute", 0)
			},
			wait: 2 * time.Second,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if tc.secret != nil {
				w.createSecret(tc.secret)
			}
			if tc.arrange != nil {
				tc.arrange(w)
			}
			w.createConnection(tc.spec)

			wait := w.reconcileConnection()

			want := tc.want(w)
			for i := range want {
				want[i].ObservedGeneration = 1
			}
			expectEqual(t, "conditions", want, w.connection().Status.Conditions)
			expectEqual(t, "wait", tc.wait, wait)
			expectEqual(t, "logins", tc.logins, w.platform.Count(delossim.OpLogin))
			expectEqual(t, "usable", tc.revokes || meta.IsStatusConditionTrue(want, "Ready"), w.pool.Session(w.connection()) != nil)
		})
	}
}

// TestRefusedLogin shows when a login that was refused is tried again: a wrong password that is repeated
// locks the account.
func TestRefusedLogin(t *testing.T) {
	w := newWorld(t)
	secret := w.createSecret(map[string]string{"login": login, "password": "wrong"})
	w.createConnection(nil)
	logins := func() int {
		defer w.platform.ResetCalls()
		return w.platform.Count(delossim.OpLogin)
	}
	w.reconcileConnection()
	expectEqual(t, "logins at first", 1, logins())

	w.clock.Advance(10 * time.Minute)
	w.restart()
	expectEqual(t, "wait before it may be tried again", 5*time.Minute, w.reconcileConnection())
	expectEqual(t, "logins after a restart", 0, logins())

	w.clock.Advance(5 * time.Minute)
	expectEqual(t, "wait after a second refusal", 30*time.Minute, w.reconcileConnection())
	expectEqual(t, "logins when it may be tried again", 1, logins())

	connection := w.connection()
	w.edit(connection, func() { connection.Annotations = map[string]string{v1alpha1.RequestedAtAnnotation: "now"} })
	expectEqual(t, "wait after a third refusal", time.Hour, w.reconcileConnection())
	expectEqual(t, "logins when a person asks", 1, logins())
	w.reconcileConnection()
	expectEqual(t, "logins when nobody asks again", 0, logins())

	w.edit(secret, func() { secret.StringData = map[string]string{"password": password} })
	w.reconcileConnection()
	expectEqual(t, "logins with another password", 1, logins())
	status := w.connection().Status
	expectEqual(t, "ready", true, meta.IsStatusConditionTrue(status.Conditions, "Ready"))
	expectEqual(t, "refused login", (*v1alpha1.RefusedLogin)(nil), status.RefusedLogin)
}

// TestRelationInTheOtherForm shows that a binding says how to have its API understood, and goes on when that is done.
func TestRelationInTheOtherForm(t *testing.T) {
	w := newWorld(t)
	w.platform.Adjust(func(s *delossim.Settings) { s.FlatRelation = true })
	w.connect()
	<-w.pool.Opened()
	w.bind(nil)

	w.reconcile()

	want := stuck("Rejected", `The Delos API calls the request invalid (HTTP 400): Invalid request: json: unknown field "relation". `+
		`If the API takes {"customerId": …, "isOwner": …}, set spec.dialect.relationBody of APIConnection `+w.namespace+"/default to Flat. "+
		"Tried again within 10 minutes", 0, 0)
	for i := range want {
		want[i].ObservedGeneration = 1
	}
	expectEqual(t, "conditions", want, w.binding().Status.Conditions)
	connection := w.connection()
	w.edit(connection, func() { connection.Spec.Dialect = &v1alpha1.Dialect{RelationBody: "Flat"} })
	w.reconcileConnection()
	expectEqual(t, "connection whose bindings are woken", w.request("default").NamespacedName, (<-w.pool.Opened()).Object)
	w.reconcile()
	expectEqual(t, "reason", "Bound", w.reason())
}

// TestCredentialsRefusedDuringACall shows that a connection hears of it, and asks no further login.
func TestCredentialsRefusedDuringACall(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.platform.SetPassword(login, "changed")
	w.platform.RevokeSessions()

	w.reconcile()

	expectEqual(t, "reason of the binding", "ConnectionNotReady", w.reason())
	expectEqual(t, "connection that was told of", w.request("default").NamespacedName, (<-w.pool.Troubled()).Object)
	w.reconcileConnection()
	ready := meta.FindStatusCondition(w.connection().Status.Conditions, "Ready")
	expectEqual(t, "reason of the connection", "LoginRefused", ready.Reason)
	expectEqual(t, "logins", 1, w.platform.Count(delossim.OpLogin))
}

func TestDeletedConnectionIsForgotten(t *testing.T) {
	w := newWorld(t)
	w.connect()
	connection := w.connection()
	if err := w.kube.Delete(t.Context(), connection); err != nil {
		t.Fatal(err)
	}
	reconciler := &APIConnectionReconciler{Kube: w.kube, Writes: w.writes, Secrets: unwatched{w.kube}, Pool: w.pool, Events: w.recorder, Schedule: w.schedule()}
	if _, err := reconciler.Reconcile(t.Context(), w.request("default")); err != nil {
		t.Fatal(err)
	}
	if w.pool.Session(connection) != nil {
		t.Error("the session of a deleted connection is still there")
	}
}

// TestNoSecretIsShown looks for the password everywhere that people can look.
func TestNoSecretIsShown(t *testing.T) {
	const canary = "canary-7f3a"
	w := newWorld(t)
	w.platform.Inject(delossim.Fault{Op: delossim.OpLogin, Failure: delossim.Answer{Status: 400, Body: `{"error": "wrong password ` + canary + `"}`}})
	w.createSecret(map[string]string{"login": login, "password": canary})
	w.createConnection(nil)
	w.reconcileConnection()
	w.bind(nil)
	w.reconcile()

	shown := strings.Join(w.events(), "\n")
	for _, conditions := range [][]condition{w.connection().Status.Conditions, w.binding().Status.Conditions} {
		for _, c := range conditions {
			shown += c.Message
		}
	}

	if strings.Contains(shown, canary) {
		t.Errorf("the password is shown: %s", shown)
	}
}

// jwt is a token that expires at a time, in the form that the operator reads.
func jwt(expires time.Time) string {
	claims := fmt.Sprintf(`{"exp":%d}`, expires.Unix())
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

// TestOutageOfTheConnection shows that an outage is found out by a few calls, and that then one probe at a time tells
// whether it is over.
func TestOutageOfTheConnection(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	outage := w.platform.Inject(delossim.Fault{Failure: delossim.HangAfterHeaders{Limit: time.Nanosecond}})
	for range 5 {
		w.reconcile()
	}
	expectEqual(t, "calls until the session closes", operations{opUser, opUser, opUser, opUser, opUser, delossim.OpList}, w.calls())
	expectEqual(t, "connection that was told of", w.request("default").NamespacedName, (<-w.pool.Troubled()).Object)

	expectEqual(t, "wait of the connection", 2*time.Second, w.reconcileConnection())
	expectEqual(t, "reason of the connection", "APIUnavailable", w.connectionReason())
	w.reconcile()
	expectEqual(t, "reason of the binding", "ConnectionNotReady", w.reason())
	expectEqual(t, "calls so far", operations(nil), w.calls())

	var waits []time.Duration
	wait := 2 * time.Second
	for range 3 {
		w.clock.Advance(wait)
		wait = w.reconcileConnection()
		waits = append(waits, wait)
	}
	expectEqual(t, "waits between the probes", []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second}, waits)
	expectEqual(t, "calls of the probes", operations{delossim.OpList, delossim.OpList, delossim.OpList}, w.calls())
	outage.Remove()
	w.clock.Advance(wait)
	w.reconcileConnection()
	expectEqual(t, "reason after the outage", "LoggedIn", w.connectionReason())
	w.reconcile()
	expectEqual(t, "reason of the binding after the outage", "Bound", w.reason())
}

// TestOutageWritesNothingThatIsReady: neither the failures that find the outage out, nor the wait for its end.
func TestOutageWritesNothingThatIsReady(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	before := w.binding()
	w.clock.Advance(2 * time.Hour)
	w.platform.Inject(delossim.Fault{Failure: delossim.HangAfterHeaders{Limit: time.Nanosecond}})
	for range 5 {
		w.reconcile()
	}
	w.reconcileConnection()
	expectEqual(t, "reason of the connection", "APIUnavailable", w.connectionReason())
	w.reconcile()
	expectEqual(t, "reason", "Bound", w.reason())
	expectEqual(t, "resource version", before.ResourceVersion, w.binding().ResourceVersion)
}

// TestRefusedLoginIsNotRepeatedForAnotherVersionOfTheSecret: to protect, label or annotate the Secret changes its
// version, and not the password that was refused.
func TestRefusedLoginIsNotRepeatedForAnotherVersionOfTheSecret(t *testing.T) {
	w := newWorld(t)
	w.createSecret(map[string]string{"login": login, "password": "wrong"})
	w.createConnection(nil)
	w.reconcileConnection()
	w.bind(nil)
	w.reconcileUsage()
	w.calls()

	wait := w.reconcileConnection()

	expectEqual(t, "calls", operations(nil), w.calls())
	expectEqual(t, "wait", 15*time.Minute, wait)
	w.restart()
	w.reconcileConnection()
	expectEqual(t, "calls after a restart", operations(nil), w.calls())
}

// TestCredentialsAreObservedOnce: the time at which the API accepted them is not that of a label of the Secret.
func TestCredentialsAreObservedOnce(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcileUsage()
	w.clock.Advance(time.Minute)

	w.reconcileConnection()

	expectEqual(t, "observed", ref(at(0)), w.connection().Status.CredentialsObservedAt)
}

// TestRefusalIsRememberedInSpiteOfAConflict: a conflict must not lose it, or the login would be sent again.
func TestRefusalIsRememberedInSpiteOfAConflict(t *testing.T) {
	w := newWorld(t)
	w.createSecret(map[string]string{"login": login, "password": "wrong"})
	w.createConnection(nil)
	w.bind(nil)
	reconciler := &APIConnectionReconciler{
		Secrets: unwatched{w.kube},
		Kube: interceptor.NewClient(clusterKube, interceptor.Funcs{
			Get: func(ctx context.Context, kube client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
				if _, isSecret := object.(*corev1.Secret); isSecret {
					w.reconcileUsage() // It changes the connection after it was read.
				}
				return kube.Get(ctx, key, object, options...)
			},
		}),
		Writes: w.writes, Pool: w.pool, Events: w.recorder, Schedule: w.schedule(),
	}

	result, err := reconciler.Reconcile(t.Context(), w.request("default"))

	if err != nil {
		t.Fatal(err)
	}
	expectEqual(t, "wait", 15*time.Minute, result.RequeueAfter)
	expectEqual(t, "attempts", int32(1), w.connection().Status.RefusedLogin.Attempts)
}

// TestRefusedLoginIsNotRepeatedByAStaleCache: a run that comes before the cache has learned of the refusal knows of it.
func TestRefusedLoginIsNotRepeatedByAStaleCache(t *testing.T) {
	w := newWorld(t)
	w.createSecret(map[string]string{"login": login, "password": "wrong"})
	w.createConnection(nil)
	stale := w.connection()
	reconciler := &APIConnectionReconciler{
		Secrets: unwatched{w.kube},
		Kube: interceptor.NewClient(clusterKube, interceptor.Funcs{
			Get: func(ctx context.Context, kube client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
				if connection, is := object.(*v1alpha1.APIConnection); is {
					stale.DeepCopyInto(connection)
					return nil
				}
				return kube.Get(ctx, key, object, options...)
			},
		}),
		Writes: w.writes, Pool: w.pool, Events: w.recorder, Schedule: w.schedule(),
	}
	if _, err := reconciler.Reconcile(t.Context(), w.request("default")); err != nil {
		t.Fatal(err)
	}
	w.calls()

	result, err := reconciler.Reconcile(t.Context(), w.request("default"))

	if err != nil {
		t.Fatal(err)
	}
	expectEqual(t, "calls", operations(nil), w.calls())
	expectEqual(t, "wait", 15*time.Minute, result.RequeueAfter)
}

// TestRefusedSessionIsTriedAgain shows that credentials that were refused during a call are tried again in
// time, although the session that found out is still there.
func TestRefusedSessionIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.platform.SetPassword(login, "changed")
	w.platform.RevokeSessions()
	w.reconcile()
	w.reconcileConnection()
	w.platform.SetPassword(login, password)
	w.clock.Advance(15 * time.Minute)

	w.reconcileConnection()

	expectEqual(t, "reason", "LoggedIn", w.connectionReason())
}

func TestPatienceIsForTheWholeConnection(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.platform.Inject(delossim.Fault{Times: 1, Failure: delossim.Answer{Status: 429, Header: http.Header{"Retry-After": {"5"}}}})
	w.bind(nil)
	other := w.binding()
	other.ObjectMeta, other.Spec.UserUUID = metav1.ObjectMeta{Namespace: w.namespace, Name: "other"}, maria
	w.create(other)
	w.reconcile()
	w.calls()

	result, err := w.lookWith(t.Context(), w.request("other").NamespacedName)

	if err != nil {
		t.Fatal(err)
	}
	expectEqual(t, "wait of a relation that is called back", time.Minute, result.RequeueAfter)
	expectEqual(t, "wait of the connection", 5*time.Second, w.reconcileConnection())
	expectEqual(t, "calls", operations(nil), w.calls())
	expectEqual(t, "reason", "LoggedIn", w.connectionReason())
}

// TestOneFailedProbeIsNoOutage shows that a connection in use stays ready until its calls fail in a row.
func TestOneFailedProbeIsNoOutage(t *testing.T) {
	w := newWorld(t)
	w.connect()
	outage := w.platform.Inject(delossim.Fault{Failure: delossim.Answer{Status: 502}})
	for range 4 {
		w.clock.Advance(time.Minute)
		expectEqual(t, "wait", 2*time.Second, w.reconcileConnection())
		expectEqual(t, "reason", "LoggedIn", w.connectionReason())
		expectEqual(t, "usable", true, w.pool.Session(w.connection()) != nil)
	}

	w.reconcileConnection()
	expectEqual(t, "reason after the fifth", "APIUnavailable", w.connectionReason())
	expectEqual(t, "usable after the fifth", false, w.pool.Session(w.connection()) != nil)
	outage.Remove()
	w.reconcileConnection()
	expectEqual(t, "reason after the outage", "LoggedIn", w.connectionReason())
}
