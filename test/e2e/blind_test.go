package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// Objects that were stored under an older CRD are not validated again. An object that does not decode stalls alone. The
// others go on, and its deletion revokes its access.
func TestObjectsStoredUnderAnOlderCRD(t *testing.T) {
	n := newTenant(t, crowd())
	runAlone(t)
	n.connect(t)
	victim := n.Binding("victim", "user_0", "cust_1", true)
	create(t, victim)
	create(t, n.Binding("neighbour", "user_1", "cust_1", false))
	sandbox.Within(t, time.Minute, func() string { return sandbox.First(n.Unbound(t, "victim"), n.Unbound(t, "neighbour")) })
	if err := operator.Stop(); err != nil {
		t.Fatal(err)
	}

	restore := n.relaxTimes(t)
	patch(t, victim, `{"spec":{"expiresAt":"2027-12-31T17:00:00z"}}`)
	patch(t, victim, `{"status":{"claim":{"revocationPermittedTime":[]},"lastConfirmedTime":"2026-11-23T12:00:00z"}}`, "status")
	list := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"userUUID": "user_2", "cuid": "cust_1", "isOwner": false, "expiresAt": []any{},
	}}}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ClientBinding"))
	list.SetNamespace(n.Namespace)
	list.SetName("list")
	create(t, list)
	restore()

	startAlone(t)
	create(t, n.Binding("new", "user_3", "cust_1", false))
	sandbox.Within(t, 30*time.Second, func() string {
		return sandbox.First(n.Unbound(t, "new"), n.stalled(t, "victim", "spec.expiresAt"), n.stalled(t, "list", "spec.expiresAt"))
	})
	if related := n.Platform.Relations("user_2"); len(related) > 0 {
		t.Errorf("access was given by an object that cannot be read: %v", related)
	}
	for _, name := range []string{"victim", "list", "neighbour"} {
		if err := kube.Delete(t.Context(), &v1alpha1.ClientBinding{ObjectMeta: n.Meta(name)}); err != nil {
			t.Fatal(err)
		}
	}
	sandbox.Within(t, 30*time.Second, func() string { return sandbox.First(n.gone(t, "victim"), n.gone(t, "list"), n.gone(t, "neighbour")) })
	for _, user := range []string{"user_0", "user_1", "user_2"} {
		if related := n.Platform.Relations(user); len(related) > 0 {
			t.Errorf("%s still has %v", user, related)
		}
	}
}

// stalled says that a binding does not yet report its unreadable field; "" when it does.
func (n *tenant) stalled(t *testing.T, name, field string) string {
	t.Helper()
	binding := &v1alpha1.ClientBinding{}
	if err := kube.Get(t.Context(), client.ObjectKey{Namespace: n.Namespace, Name: name}, binding); err != nil {
		t.Fatal(err)
	}
	if problem := sandbox.NotReady(binding, binding.Status.Conditions, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec); problem != "" {
		return name + ": " + problem
	}
	if message := sandbox.Ready(binding.Status.Conditions).Message; !strings.Contains(message, field) {
		return name + ": no field in: " + message
	}
	return ""
}

// relaxTimes makes the CRD accept times as before its rules about them, and returns a function that undoes this.
func (n *tenant) relaxTimes(t *testing.T) (restore func()) {
	t.Helper()
	if err := apiextensionsv1.AddToScheme(kube.Scheme()); err != nil {
		t.Fatal(err)
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := kube.Get(t.Context(), client.ObjectKey{Name: "clientbindings.access.delos.financial"}, crd); err != nil {
		t.Fatal(err)
	}
	strict := crd.Spec.DeepCopy()
	relaxed := apiextensionsv1.JSONSchemaProps{Type: "string", Format: "date-time"}
	properties := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties
	properties["spec"].Properties["expiresAt"] = relaxed
	properties["status"].Properties["lastConfirmedTime"] = relaxed
	properties["status"].Properties["claim"].Properties["revocationPermittedTime"] = relaxed
	if err := kube.Update(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
	const trial = `{"apiVersion":"access.delos.financial/v1alpha1","kind":"ClientBinding","metadata":{"name":"trial"},"spec":{"userUUID":"a","cuid":"b","isOwner":true,"expiresAt":"2027-12-31T17:00:00z"}}`
	accepted := func(want bool) {
		sandbox.Within(t, 30*time.Second, func() string {
			_, err := cluster.Kubectl(t.Context(), trial, "create", "--dry-run=server", "--namespace", n.Namespace, "-f", "-")
			if (err == nil) != want {
				return fmt.Sprintf("want accepted=%t, got %v", want, err)
			}
			return ""
		})
	}
	accepted(true)
	return func() {
		crd.Spec = *strict
		if err := kube.Update(t.Context(), crd); err != nil {
			t.Fatal(err)
		}
		accepted(false)
	}
}

func patch(t *testing.T, object client.Object, content string, subresources ...string) {
	t.Helper()
	named := &unstructured.Unstructured{}
	named.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ClientBinding"))
	named.SetNamespace(object.GetNamespace())
	named.SetName(object.GetName())
	raw := sandbox.MergePatch("%s", content)
	err := error(nil)
	if len(subresources) > 0 {
		err = kube.SubResource(subresources[0]).Patch(t.Context(), named, raw)
	} else {
		err = kube.Patch(t.Context(), named, raw)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// An operator that may not see its objects says that it is not ready, and ends at a signal.
func TestOperatorThatSeesNothing(t *testing.T) {
	binding := &rbacv1.ClusterRoleBinding{}
	if err := kube.Get(t.Context(), client.ObjectKey{Name: "clientbinding-operator"}, binding); err != nil {
		t.Fatal(err)
	}
	if err := kube.Delete(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		binding.ResourceVersion, binding.UID = "", ""
		if err := kube.Create(context.Background(), binding); err != nil {
			t.Error(err)
		}
	})
	aside := operator.Aside(filepath.Join(t.TempDir(), "operator.log"))
	probes, err := aside.StartAlive(t.Context(), "--leader-elect=false")
	if err != nil {
		t.Fatal(err)
	}
	status, text := get(t, probes+"/readyz")
	if status != http.StatusInternalServerError || !strings.Contains(text, "watches failed") {
		t.Errorf("/readyz says %d %s", status, text)
	}
	if err := aside.Stop(); err != nil {
		t.Error(err)
	}
}

func get(t *testing.T, url string) (status int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}
