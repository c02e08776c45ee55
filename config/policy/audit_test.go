package policy_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// auditEvent has the parts of a line of the audit log that the tests read.
type auditEvent struct {
	Verb      string `json:"verb"`
	ObjectRef struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"objectRef"`
	Annotations map[string]string `json:"annotations"`
}

// audited is the last request of a kind that the audit log has of an object. It is written when the answer is.
func audited(t *testing.T, verb string, of client.Object) (found auditEvent) {
	t.Helper()
	eventually(t, func() string {
		content, err := os.ReadFile(auditLog)
		if err != nil {
			return err.Error()
		}
		problem := "the audit log has no " + verb + " of " + of.GetName()
		for line := range strings.Lines(string(content)) {
			var event auditEvent
			if err := json.Unmarshal([]byte(line), &event); err != nil {
				return err.Error() // half a line
			}
			if event.Verb == verb && event.ObjectRef.Namespace == of.GetNamespace() && event.ObjectRef.Name == of.GetName() {
				found, problem = event, ""
			}
		}
		return problem
	})
	return found
}

// TestOwnerGrantsAreAudited: one annotation names the giver, the user and the client, whether the request is allowed or refused.
func TestOwnerGrantsAreAudited(t *testing.T) {
	const annotation = "clientbinding-operator-grants/owner-grant"
	namespace := newNamespace(t)
	ann, bob := newGranter(t, namespace, "ann"), newRequester(t, namespace, "bob")
	of := binding(namespace, "given", "C-1001", true)
	of.Spec.Justification = "INC-4711"
	parse(t, `{expiresAt: "2030-01-01T00:00:00Z"}`, &of.Spec)
	standard := binding(namespace, "standard", "C-1001", false)
	refused := binding(namespace, "refused", "C-1001", true)
	check(t, ann.Create(t.Context(), of.DeepCopy()), "")
	check(t, ann.Create(t.Context(), standard), "")
	check(t, bob.Create(t.Context(), refused), noOwner(refused))

	const user = " gives user user_abc123def access as owner of client C-1001"
	for _, test := range []struct {
		of   client.Object
		want string
	}{
		{of, "ann" + user + " until 2030-01-01T00:00:00Z, because of: INC-4711"},
		{standard, ""},
		{refused, "bob" + user},
	} {
		if got := audited(t, "create", test.of).Annotations[annotation]; got != test.want {
			t.Errorf("%s: the audit log has %q, want %q", test.of.GetName(), got, test.want)
		}
	}
	check(t, bob.edit(t, of, `{"metadata":{"labels":{"team":"a"}}}`), "")
	if got, there := audited(t, "patch", of).Annotations[annotation]; there {
		t.Errorf("a label: the audit log has %q", got)
	}
}
