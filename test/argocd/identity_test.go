//go:build argocd

package argocd

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const tenant = "team-e"

// tenantProject makes Argo CD act as the team's ServiceAccount.
const tenantProject = `apiVersion: v1
kind: ServiceAccount
metadata: {name: deployer, namespace: team-e}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer-requests, namespace: team-e}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: clientbinding-operator-requester}
subjects: [{kind: ServiceAccount, name: deployer, namespace: team-e}]
---
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: team-e, namespace: argocd}
spec:
  sourceRepos: ["*"]
  destinations: [{server: https://kubernetes.default.svc, namespace: team-e}]
  namespaceResourceWhitelist: [{group: access.delos.financial, kind: ClientBinding}]
  destinationServiceAccounts:
  - {server: https://kubernetes.default.svc, namespace: team-e, defaultServiceAccount: deployer}
`

// tenantGrant lets the team's ServiceAccount make owners of one client only.
const tenantGrant = `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: grants-owner-of-cust-789xyz, namespace: team-e}
rules:
- apiGroups: [access.delos.financial]
  resources: [clientbindings/owner]
  resourceNames: [cust_789xyz]
  verbs: [grant]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer-grants-owner-of-cust-789xyz, namespace: team-e}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: grants-owner-of-cust-789xyz}
subjects: [{kind: ServiceAccount, name: deployer, namespace: team-e}]
`

// Argo CD acts as a team's ServiceAccount, so a committer may only grant the access that this account may grant. This is enabled for
// all teams, so no other test runs at the same time.
func TestWhoGrants(t *testing.T) {
	n := newTeam(t, tenant)
	step(t, "impersonation is switched on, and a team gets a project", func(t *testing.T) {
		impersonate(t, true)
		box.Create(t, n.namespace())
		_, err := box.Cluster.Kubectl(t.Context(), tenantProject, "apply", "-f", "-")
		sandbox.Must(t, err)
		n.connect(t)
	})
	t.Cleanup(func() { impersonate(everything, false) })
	step(t, "a sync without the verb grant is refused, with the policy's message", func(t *testing.T) {
		n.git.write(t, map[string]string{tenant + "/john.yaml": n.bindingText(johnOwns, john, cust, "isOwner: true")})
		n.git.commit(t, "john owns cust-789xyz")
		app := n.application()
		app.namespace, app.project, app.manual = tenant, tenant, true
		app.create(t)
		n.syncIsRefused(t, cust)
		n.unrelated(t, john, cust)
	})
	step(t, "with the verb for this client it is accepted", func(t *testing.T) {
		_, err := box.Cluster.Kubectl(t.Context(), tenantGrant, "apply", "-f", "-")
		sandbox.Must(t, err)
		argo.run(t, "app", "sync", tenant, "--async")
		becomes(t, tenant, "Synced", "Healthy", "")
		n.related(t, john, cust, true)
	})
	step(t, "not for another client", func(t *testing.T) {
		n.git.write(t, map[string]string{tenant + "/doxdeev.yaml": n.bindingText("john-owns-doxdeev", john, doxd, "isOwner: true")})
		n.publish(t, "john owns doxdeev")
		becomes(t, tenant, "OutOfSync", "", "")
		n.syncIsRefused(t, doxd)
		n.unrelated(t, john, doxd)
	})
	step(t, "an action runs as the team, too", func(t *testing.T) { n.act(t, "reconcile", "ClientBinding", johnOwns) })
	step(t, "so does the deletion, which needs no verb but delete", func(t *testing.T) {
		box.Delete(t, named(tenant))
		isGone(t, named(tenant))
		n.unrelated(t, john, cust)
		// The objects of the platform team.
		box.Delete(t, n.namespace())
		isGone(t, n.namespace())
	})
}

// impersonate makes Argo CD act as the teams' ServiceAccounts, or as itself.
func impersonate(t sandbox.T, on bool) {
	t.Helper()
	patch := fmt.Sprintf(`{"data":{"application.sync.impersonation.enabled":"%t"}}`, on)
	_, err := box.Cluster.Kubectl(context.WithoutCancel(t.Context()), "", "patch", "configmap", "argocd-cm", "--namespace", argoNamespace, "--type=merge", "--patch", patch)
	if err != nil {
		t.Error(err)
	}
}

// connect makes the connection of config/samples, as the platform team would.
func (n *team) connect(t *testing.T) {
	t.Helper()
	samples := n.Samples(t)
	own := slices.Concat(samples.Kind("RoleBinding"), samples.Kind("Secret"), samples.Kind("APIConnection"))
	sandbox.Must(t, box.Cluster.Apply(t.Context(), own))
}

// syncIsRefused syncs by hand and wants our policy's refusal of access as owner of a client.
func (n *team) syncIsRefused(t *testing.T, cuid string) {
	t.Helper()
	argo.run(t, "app", "sync", n.Namespace, "--async")
	want := "access as owner of client " + cuid + " needs the verb grant on clientbindings/owner named " + cuid
	sandbox.Within(t, limit, func() string {
		st := stateOf(t, n.Namespace)
		if st.Status.OperationState.Phase == "Succeeded" && strings.Contains(st.String(), cuid) {
			t.Fatalf("the sync was accepted: %s", st)
		}
		if st.Status.OperationState.Phase != "Failed" || !strings.Contains(st.String(), want) {
			return fmt.Sprintf("no %q in: %s", want, st)
		}
		return ""
	})
	argo.print(t, "app", "get", n.Namespace)
}
