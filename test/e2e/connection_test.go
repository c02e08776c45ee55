package e2e

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// waiting is the number of bindings that wait for a connection.
const waiting = 5

// crowd is a platform with a client for as many users.
func crowd() delossim.Config {
	config := delossim.Config{Clients: []string{"cust_1"}}
	for i := range waiting {
		config.Users = append(config.Users, delossim.User{UUID: fmt.Sprintf("user_%d", i)})
	}
	return config
}

func (n *tenant) bindCrowd(t *testing.T) {
	t.Helper()
	for i := range waiting {
		create(t, n.Binding(fmt.Sprintf("binding-%d", i), fmt.Sprintf("user_%d", i), "cust_1", true))
	}
}

// each returns the first problem of the crowd's bindings.
func (n *tenant) each(problem func(name string) string) string {
	for i := range waiting {
		if problem := problem(fmt.Sprintf("binding-%d", i)); problem != "" {
			return problem
		}
	}
	return ""
}

// waits says that a binding does not report that it waits for its connection; "" when it does.
func (n *tenant) waits(t *testing.T, name string) string {
	t.Helper()
	binding := &v1alpha1.ClientBinding{}
	if err := kube.Get(t.Context(), client.ObjectKey{Namespace: n.Namespace, Name: name}, binding); err != nil {
		t.Fatal(err)
	}
	problem := sandbox.NotReady(binding, binding.Status.Conditions, metav1.ConditionFalse, v1alpha1.ReasonConnectionNotReady)
	message := sandbox.Ready(binding.Status.Conditions).Message
	if want := "APIConnection " + n.Namespace + "/default"; problem == "" && !strings.Contains(message, want) {
		problem = fmt.Sprintf("no %q in %q", want, message)
	}
	if problem != "" {
		problem = name + ": " + problem
	}
	return problem
}

// tells says that the connection does not report the problem; "" when it does.
func (n *tenant) tells(t *testing.T, reason string, words ...string) string {
	t.Helper()
	found := &v1alpha1.APIConnection{}
	if err := kube.Get(t.Context(), client.ObjectKey{Namespace: n.Namespace, Name: v1alpha1.DefaultConnectionName}, found); err != nil {
		t.Fatal(err)
	}
	problem := sandbox.NotReady(found, found.Status.Conditions, metav1.ConditionFalse, reason)
	for _, word := range words {
		if message := sandbox.Ready(found.Status.Conditions).Message; problem == "" && !strings.Contains(message, word) {
			problem = fmt.Sprintf("no %q in %q", word, message)
		}
	}
	return problem
}

// A problem of the credentials is reported once, on the connection, with the Secret and the key.
// The bindings name the connection. A corrected Secret is enough to go on.
func TestCredentials(t *testing.T) {
	underDeployedOperator(t)
	good := map[string]string{"login": account.Login, "password": account.Password}
	for name, test := range map[string]struct {
		secret map[string]string // none if nil
		reason string
		words  []string
		logins int
	}{
		"wrong password": {
			secret: map[string]string{"login": account.Login, "password": wrongPassword},
			reason: v1alpha1.ReasonLoginRefused,
			words:  []string{"password"},
			logins: 1,
		},
		"no Secret": {
			reason: v1alpha1.ReasonSecretNotFound,
			words:  []string{"login", "password"},
		},
		"no password": {
			secret: map[string]string{"login": account.Login},
			reason: v1alpha1.ReasonSecretInvalid,
			words:  []string{"no key password"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newTenant(t, crowd())
			secret := n.secret(test.secret)
			if test.secret != nil {
				create(t, secret)
			}
			create(t, n.connection(n.Platform.URL))
			n.bindCrowd(t)
			words := append([]string{n.Namespace + "/" + secretName}, test.words...)
			sandbox.Within(t, 20*time.Second, func() string {
				return sandbox.First(n.tells(t, test.reason, words...), n.each(func(name string) string { return n.waits(t, name) }))
			})
			n.demoteCrowd(t)
			sandbox.Within(t, 20*time.Second, func() string { return n.each(func(name string) string { return n.waits(t, name) }) })
			if got := n.Platform.Count(delossim.OpAny); got != test.logins {
				t.Errorf("the platform was called %d times, want %d: %s", got, test.logins, n.Platform.Summary())
			}

			n.putSecret(t, test.secret != nil, good)
			sandbox.Within(t, 20*time.Second, func() string { return n.each(func(name string) string { return n.Unbound(t, name) }) })
			if got := n.Platform.Count(delossim.OpLogin); got != test.logins+1 {
				t.Errorf("%d logins, want %d", got, test.logins+1)
			}
		})
	}
}

// TestRotationDuringARevocation: the credentials change while the session is still in use and a binding is deleted. The
// connection is ready before and after, and the revocation does not wait for more than that.
func TestRotationDuringARevocation(t *testing.T) {
	underDeployedOperator(t)
	const next = "the next password"
	n := newTenant(t, crowd())
	n.connect(t)
	n.bindCrowd(t)
	sandbox.Within(t, 20*time.Second, func() string { return n.each(func(name string) string { return n.Unbound(t, name) }) })

	n.Platform.Inject(delossim.Fault{Op: delossim.OpLogin, Delay: 200 * time.Millisecond})
	n.Platform.SetPassword(account.Login, next)
	n.Platform.RevokeSessions()
	n.putSecret(t, true, map[string]string{"login": account.Login, "password": next})
	if problem := n.each(func(name string) string {
		if err := kube.Delete(t.Context(), n.Binding(name, "", "", true)); err != nil {
			return err.Error()
		}
		return ""
	}); problem != "" {
		t.Fatal(problem)
	}
	sandbox.Within(t, 20*time.Second, func() string {
		return n.each(func(name string) string { return n.absent(t, &v1alpha1.ClientBinding{}, name) })
	})
}

// demoteCrowd gives the operator a reason to look at each binding again.
func (n *tenant) demoteCrowd(t *testing.T) {
	t.Helper()
	if problem := n.each(func(name string) string {
		binding := n.Binding(name, "", "", false)
		patch := sandbox.MergePatch(`{"spec":{"isOwner":false}}`)
		if err := kube.Patch(t.Context(), binding, patch); err != nil {
			return err.Error()
		}
		return ""
	}); problem != "" {
		t.Fatal(problem)
	}
}

func (n *tenant) putSecret(t *testing.T, exists bool, data map[string]string) {
	t.Helper()
	secret := n.secret(data)
	if !exists {
		create(t, secret)
		return
	}
	present := &corev1.Secret{}
	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(secret), present); err != nil {
		t.Fatal(err)
	}
	present.StringData = data
	if err := kube.Update(t.Context(), present); err != nil {
		t.Fatal(err)
	}
}

// The message names an address that does not answer. The operator tries again until it answers.
func TestNobodyAnswers(t *testing.T) {
	underDeployedOperator(t)
	n := newTenant(t, crowd())
	address := strings.TrimPrefix(n.Platform.URL, "http://")
	if err := n.Platform.Stop(); err != nil {
		t.Fatal(err)
	}
	n.connect(t)
	n.bindCrowd(t)
	sandbox.Within(t, 20*time.Second, func() string {
		return sandbox.First(
			n.tells(t, v1alpha1.ReasonAPIUnavailable, address+" refused the connection", "Tried again within a minute"),
			n.each(func(name string) string { return n.waits(t, name) }),
		)
	})

	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	// The platform is the same one; only the server before it is new.
	server := &http.Server{Handler: n.Platform}
	t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }()
	sandbox.Within(t, 30*time.Second, func() string { return n.each(func(name string) string { return n.Unbound(t, name) }) })
}
