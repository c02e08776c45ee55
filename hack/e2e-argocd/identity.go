package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const tenant = "team-e"

// tenantProject has all that is done for a team done as its ServiceAccount.
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

// tenantGrant lets the team's ServiceAccount make owners of one client, and of no other.
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

// playIdentity has Argo CD act as a team's ServiceAccount: whoever may commit may only grant what that account may.
func (s *stage) playIdentity(ctx context.Context) error {
	return s.steps(
		step{"impersonation is switched on, and a team gets a project", func() error { return s.impersonate(ctx) }},
		step{"a sync without the verb grant is refused, with the policy's message", func() error { return s.refused(ctx) }},
		step{"with the verb for this client it is accepted", func() error { return s.accepted(ctx) }},
		step{"not for another client", func() error { return s.otherClient(ctx) }},
		step{"an action runs as the team, too", func() error { return s.act(ctx, tenant, "reconcile", "ClientBinding", johnOwns) }},
		step{"so does the deletion, which needs no verb but delete", func() error { return s.leave(ctx) }},
	)
}

func (s *stage) impersonate(ctx context.Context) error {
	const patch = `{"data":{"application.sync.impersonation.enabled":"true"}}`
	if _, err := s.cluster.Kubectl(ctx, "", "patch", "configmap", "argocd-cm", "--namespace", argoNamespace, "--type=merge", "--patch", patch); err != nil {
		return err
	}
	if err := s.newNamespace(ctx, tenant); err != nil {
		return err
	}
	if _, err := s.cluster.Kubectl(ctx, tenantProject, "apply", "-f", "-"); err != nil {
		return err
	}
	return s.connectNamespace(ctx, tenant)
}

// connectNamespace makes the connection of config/samples in a namespace, as its platform team would.
func (s *stage) connectNamespace(ctx context.Context, namespace string) error {
	samples, err := sandbox.Render(ctx, "config/samples")
	if err != nil {
		return err
	}
	own := slices.Concat(samples.Kind("RoleBinding"), samples.Kind("Secret"), samples.Kind("APIConnection"))
	for _, object := range own {
		object.SetNamespace(namespace)
		switch object.GetKind() {
		case "APIConnection":
			err = unstructured.SetNestedField(object.Object, s.platform.URL, "spec", "url")
		case "Secret":
			err = unstructured.SetNestedStringMap(object.Object, map[string]string{"login": s.account.Login, "password": s.account.Password}, "stringData")
		}
		if err != nil {
			return err
		}
	}
	return s.cluster.Apply(ctx, own)
}

func (s *stage) refused(ctx context.Context) error {
	if err := s.git.write(map[string]string{tenant + "/john.yaml": bindingText(johnOwns, tenant, john, cust, "isOwner: true")}); err != nil {
		return err
	}
	if _, err := s.git.commit(ctx, "john owns cust-789xyz"); err != nil {
		return err
	}
	app := application{name: tenant, path: tenant, namespace: tenant, project: tenant, manual: true}
	if err := s.kube.Create(ctx, app.object(s.git.url)); err != nil {
		return err
	}
	if err := s.syncIsRefused(ctx, cust); err != nil {
		return err
	}
	return s.unrelated(john, cust)
}

// syncIsRefused syncs by hand and wants our policy's refusal of access as owner of a client.
func (s *stage) syncIsRefused(ctx context.Context, cuid string) error {
	if _, err := s.argo.run(ctx, "app", "sync", tenant, "--async"); err != nil {
		return err
	}
	want := "access as owner of client " + cuid + " is given or prolonged only by who has the verb grant on clientbindings/owner named " + cuid
	return s.within(ctx, limit, func(ctx context.Context) (string, error) {
		st, err := s.state(ctx, tenant)
		if err != nil {
			return "", err
		}
		if st.Status.OperationState.Phase == "Succeeded" && strings.Contains(st.String(), cuid) {
			return "", fmt.Errorf("the sync was accepted: %s", st)
		}
		if st.Status.OperationState.Phase != "Failed" || !strings.Contains(st.String(), want) {
			return fmt.Sprintf("no %q in: %s", want, st), nil
		}
		return "", s.print(ctx, "app", "get", tenant)
	})
}

func (s *stage) accepted(ctx context.Context) error {
	if _, err := s.cluster.Kubectl(ctx, tenantGrant, "apply", "-f", "-"); err != nil {
		return err
	}
	if _, err := s.argo.run(ctx, "app", "sync", tenant, "--async"); err != nil {
		return err
	}
	if err := s.becomes(ctx, tenant, "Synced", "Healthy", ""); err != nil {
		return err
	}
	return s.relation(ctx, john, cust, true)
}

func (s *stage) otherClient(ctx context.Context) error {
	const file = tenant + "/doxdeev.yaml"
	if err := s.git.write(map[string]string{file: bindingText("john-owns-doxdeev", tenant, john, doxd, "isOwner: true")}); err != nil {
		return err
	}
	if _, err := s.git.commit(ctx, "john owns doxdeev"); err != nil {
		return err
	}
	if err := s.refresh(ctx, tenant, "normal"); err != nil {
		return err
	}
	if err := s.becomes(ctx, tenant, "OutOfSync", "", ""); err != nil {
		return err
	}
	if err := s.syncIsRefused(ctx, doxd); err != nil {
		return err
	}
	return s.unrelated(john, doxd)
}

// leave deletes the Application, and then what the platform team had made.
func (s *stage) leave(ctx context.Context) error {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(applicationKind)
	object.SetNamespace(argoNamespace)
	object.SetName(tenant)
	if err := s.kube.Delete(ctx, object); err != nil {
		return err
	}
	if err := s.isGone(ctx, object); err != nil {
		return err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: tenant}}
	return errors.Join(s.unrelated(john, cust), s.kube.Delete(ctx, namespace), s.isGone(ctx, namespace))
}
