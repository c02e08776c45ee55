package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// A binding may be created before its user. It says so, and becomes Ready after the user is created.
func TestUserComesLater(t *testing.T) {
	underDeployedOperator(t)
	n := newTenant(t, delossim.Config{Clients: []string{"cust_1"}})
	n.connect(t)
	binding := n.Binding("early", "user_late", "cust_1", true)
	create(t, binding)

	sandbox.Within(t, 20*time.Second, func() string {
		if err := kube.Get(t.Context(), client.ObjectKeyFromObject(binding), binding); err != nil {
			t.Fatal(err)
		}
		problem := sandbox.NotReady(binding, binding.Status.Conditions, metav1.ConditionFalse, v1alpha1.ReasonUserNotFound)
		if problem != "" {
			return problem
		}
		message := sandbox.Ready(binding.Status.Conditions).Message
		if !strings.Contains(message, `"user_late"`) || !strings.Contains(message, "Tried again within a minute") {
			return "no user or no rhythm in: " + message
		}
		return ""
	})

	n.Platform.AddUser(delossim.User{UUID: "user_late", Username: "late"})
	// The user comes early, and the waits are as long as it has failed.
	sandbox.Within(t, 30*time.Second, func() string { return n.Unbound(t, "early") })
}

// When kubectl delete returns, Get user no longer shows the access, even if it shows a removal late.
func TestDeleteReturnsWhenTheAccessIsGone(t *testing.T) {
	underDeployedOperator(t)
	const token = "a-token-of-the-test"
	n := newTenant(t, delossim.Config{
		// The session is refreshed meanwhile, which must not show in the log either.
		Settings: delossim.Settings{Lag: 1500 * time.Millisecond, AccessTTL: 2 * time.Second},
		Users:    []delossim.User{{UUID: "user_1"}},
		Clients:  []string{"cust_1", "cust_2"},
		Tokens:   []string{token},
	})
	n.connect(t)
	create(t, n.Binding("leaving", "user_1", "cust_1", true))
	create(t, n.Binding("staying", "user_1", "cust_2", false))
	sandbox.Within(t, 30*time.Second, func() string { return sandbox.First(n.Unbound(t, "leaving"), n.Unbound(t, "staying")) })

	if _, err := cluster.Kubectl(t.Context(), "", "delete", "clientbinding", "leaving", "--namespace", n.Namespace); err != nil {
		t.Fatal(err)
	}
	shown := n.getUser(t, "user_1", token)
	if strings.Contains(shown, "cust_1") || !strings.Contains(shown, "cust_2") {
		t.Errorf("when kubectl delete returned, Get user showed %s", shown)
	}
	if problem := n.Unbound(t, "staying"); problem != "" {
		t.Error(problem)
	}
	if n.Platform.Count(delossim.OpRefresh) == 0 {
		t.Errorf("the session was not refreshed: %s", n.Platform.Summary())
	}
}

// getUser calls Get user without the operator.
func (n *tenant) getUser(t *testing.T, uuid, token string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.Platform.URL+"/v2/user/"+uuid, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response.Status, err)
	}
	return string(body)
}
