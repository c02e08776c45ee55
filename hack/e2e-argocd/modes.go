package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// everything says all that may be said, and some of it in other words than Go's.
const everything = `apiVersion: access.delos.financial/v1alpha1
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

// playModes delivers the same in all ways in which Argo CD applies and compares: by a client-side or server-side
// apply, and by its own comparison or by the API server's.
func (s *stage) playModes(ctx context.Context) error {
	var steps []step
	for _, apply := range []string{"ServerSideApply=false", "ServerSideApply=true"} {
		for _, diff := range []string{"ServerSideDiff=false", "ServerSideDiff=true"} {
			steps = append(steps, step{apply + ", " + diff, func() error { return s.mode(ctx, apply, diff) }})
		}
	}
	return s.steps(steps...)
}

func (s *stage) mode(ctx context.Context, apply, diff string) error {
	name := strings.ToLower(strings.NewReplacer("ServerSideApply", "apply", "ServerSideDiff", "diff", "=", "-").Replace(apply + "-" + diff))
	text := fmt.Sprintf(everything, s.platform.URL, maria, "cust_"+name, name, "Doxd_"+name, s.account.Login, s.account.Password)
	s.platform.AddClient("cust_" + name)
	s.platform.AddClient("Doxd_" + name)
	if err := s.git.write(map[string]string{name + "/all.yaml": text}); err != nil {
		return err
	}
	revision, err := s.git.commit(ctx, "Everything that can be said: "+name)
	if err != nil {
		return err
	}
	app := application{
		name: name, path: name, namespace: name,
		options:     []string{"CreateNamespace=true", apply},
		annotations: map[string]string{"argocd.argoproj.io/compare-options": diff},
	}
	object := app.object(s.git.url)
	if err := s.kube.Create(ctx, object); err != nil {
		return err
	}
	if err := s.becomes(ctx, name, "Synced", "Healthy", revision); err != nil {
		return err
	}
	if err := s.lookedAgain(ctx, name, time.Now()); err != nil {
		return err
	}
	if err := s.ownsNoSpec(ctx, name); err != nil {
		return err
	}
	if err := s.kube.Delete(ctx, object); err != nil {
		return err
	}
	if err := s.isGone(ctx, object); err != nil {
		return err
	}
	return errors.Join(s.unrelated(maria, "cust_"+name), s.unrelated(maria, "Doxd_"+name))
}

// ownsNoSpec: the operator owns no field of any spec, and nothing was written there after the first apply.
func (s *stage) ownsNoSpec(ctx context.Context, namespace string) error {
	for _, kind := range []string{"APIConnection", "ClientBinding"} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind + "List"))
		if err := s.kube.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return err
		}
		for _, object := range list.Items {
			if object.GetGeneration() != 1 {
				return fmt.Errorf("%s %s has generation %d", kind, object.GetName(), object.GetGeneration())
			}
			seen := false
			for _, entry := range object.GetManagedFields() {
				if entry.Manager != operatorManager {
					continue
				}
				seen = true
				if strings.Contains(entry.FieldsV1.GetRawString(), `"f:spec"`) {
					return fmt.Errorf("%s %s: the operator owns %s", kind, object.GetName(), entry.FieldsV1.GetRawString())
				}
			}
			if !seen {
				return fmt.Errorf("%s %s: the operator wrote nothing", kind, object.GetName())
			}
		}
	}
	return nil
}

// operatorManager is as whom the operator writes.
const operatorManager = "clientbinding-operator"
