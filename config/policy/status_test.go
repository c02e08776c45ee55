package policy_test

import (
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// TestNobodyElseReports: no role for people includes the status, because the status says which access the operator may revoke.
func TestNobodyElseReports(t *testing.T) {
	roles := &rbacv1.ClusterRoleList{}
	if err := kube.List(t.Context(), roles); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, role := range roles.Items {
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				if resource != "clientbindings/status" && resource != "apiconnections/status" {
					continue
				}
				found = true
				if role.Name != "clientbinding-operator" {
					t.Errorf("%s may %v %s", role.Name, rule.Verbs, resource)
				}
			}
		}
	}
	if !found {
		t.Error("not even the operator reports")
	}
}

// TestStatusCannotBePreset: the API server drops the status of a manifest, and requesters lack the right to patch it.
func TestStatusCannotBePreset(t *testing.T) {
	namespace := newNamespace(t)
	granter := newGranter(t, namespace, "granter")
	of := binding(namespace, "trial", "C-1001", true)
	const claimed = `{observedGeneration: 1, access: Owner}`
	parse(t, claimed, &of.Status)
	check(t, granter.Create(t.Context(), of), "")
	if of.Status.Access != "" || of.Status.ObservedGeneration != -1 {
		t.Errorf("created with the status %+v", of.Status)
	}
	check(t, granter.edit(t, of, `{"status":{"access":"Owner"}}`), "")
	found := &v1alpha1.ClientBinding{}
	if err := kube.Get(t.Context(), key(of), found); err != nil {
		t.Fatal(err)
	}
	if found.Status.Access != "" {
		t.Errorf("patched to the status %+v", found.Status)
	}
	err := granter.Status().Patch(t.Context(), of, statusPatch(`{"access":"Owner"}`))
	if err == nil || !strings.Contains(err.Error(), `cannot patch resource "clientbindings/status"`) {
		t.Errorf("reporting: %v", err)
	}
}
