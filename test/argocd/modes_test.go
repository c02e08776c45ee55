//go:build argocd

package argocd

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// allFields sets all fields, some of them in other forms than Go writes.
const allFields = `apiVersion: access.delos.financial/v1alpha1
kind: APIConnection
metadata:
  name: default
spec:
  url: %[1]s
  credentials: {secretRef: {name: delos-credentials}}
  timeout: 60s
  interval: 90m
  rateLimit: {requestsPerSecond: 50, burst: 100}
  revocations: {max: 50, per: 60m}
  allowed:
    namespaces: {from: Same}
    cuids: ["cust_*", "Doxd*"]
    owner: true
---
apiVersion: access.delos.financial/v1alpha1
kind: ClientBinding
metadata:
  name: says-everything
spec:
  userUUID: %[2]s
  cuid: %[3]s
  isOwner: false
  connectionRef: {name: default, namespace: %[4]s}
  deletionPolicy: Revoke
  expiresAt: "2099-12-31T17:00:00Z"
  suspend: false
  justification: INC-4711
---
apiVersion: access.delos.financial/v1alpha1
kind: ClientBinding
metadata:
  name: says-nothing
spec:
  userUUID: %[2]s
  cuid: %[5]s
  isOwner: true
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: clientbinding-operator-credentials
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: clientbinding-operator-credentials}
subjects: [{kind: ServiceAccount, name: clientbinding-operator, namespace: clientbinding-system}]
---
apiVersion: v1
kind: Secret
metadata:
  name: delos-credentials
stringData: {login: %[6]s, password: %[7]s}
`

// Argo CD shows no differences in any mode: with client-side or server-side apply, and
// with its own comparison or the API server's.
func TestModes(t *testing.T) {
	t.Parallel()
	for _, apply := range []string{"ServerSideApply=false", "ServerSideApply=true"} {
		for _, diff := range []string{"ServerSideDiff=false", "ServerSideDiff=true"} {
			t.Run(apply+", "+diff, func(t *testing.T) { deliverAllFields(t, apply, diff) })
		}
	}
}

func deliverAllFields(t *testing.T, apply, diff string) {
	name := strings.ToLower(strings.NewReplacer("ServerSideApply", "apply", "ServerSideDiff", "diff", "=", "-").Replace(apply + "-" + diff))
	n := newTeam(t, name)
	custs, doxds := "cust_"+name, "Doxd_"+name
	n.Platform.AddClient(custs)
	n.Platform.AddClient(doxds)
	n.git.write(t, map[string]string{filepath.Join(name, "all.yaml"): fmt.Sprintf(allFields,
		n.Platform.URL, maria, custs, name, doxds, sandbox.Account.Login, sandbox.Account.Password)})
	revision := n.git.commit(t, "Everything that can be said: "+name)
	app := n.application()
	app.namespace, app.options = name, []any{"CreateNamespace=true", apply}
	app.annotations = map[string]string{"argocd.argoproj.io/compare-options": diff}
	app.create(t)
	becomes(t, name, "Synced", "Healthy", revision)
	staysSynced(t, name, time.Now())
	n.ownsNoSpec(t)
	box.Delete(t, named(name))
	isGone(t, named(name))
	n.unrelated(t, maria, custs)
	n.unrelated(t, maria, doxds)
}

// ownsNoSpec: the operator owns no field of any spec, and nothing was written there after the first apply.
func (n *team) ownsNoSpec(t *testing.T) {
	t.Helper()
	for _, kind := range []string{"APIConnection", "ClientBinding"} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind + "List"))
		sandbox.Must(t, box.Kube.List(t.Context(), list, client.InNamespace(n.Namespace)))
		if len(list.Items) == 0 {
			t.Errorf("there is no %s", kind)
		}
		for _, object := range list.Items {
			if problem := sandbox.SpecWritten(&object); problem != "" {
				t.Error(problem)
			}
		}
	}
}
