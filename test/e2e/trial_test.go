package e2e

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/trial"
)

// A trial gives and revokes a missing relation, and does not touch an existing one.
func TestTrial(t *testing.T) {
	underDeployedOperator(t)
	n := newTenant(t, delossim.Config{
		Users:   []delossim.User{{UUID: "user_new"}, {UUID: "user_there", Relations: map[string]bool{"cust_1": false}}},
		Clients: []string{"cust_1"},
	})
	n.connect(t)
	try := func(user string) (out, failed string) {
		limit, done := context.WithTimeout(t.Context(), 30*time.Second)
		defer done()
		var text bytes.Buffer
		err := (&trial.Trial{
			Kube: kube, Connection: types.NamespacedName{Namespace: n.Namespace, Name: v1alpha1.DefaultConnectionName},
			User: user, CUID: "cust_1", Out: &text, Now: time.Now,
		}).Run(limit)
		if err != nil {
			failed = err.Error()
		}
		return text.String(), failed
	}
	loggedIn := "The Delos API accepts the credentials of the APIConnection " + n.Namespace + "/default\n"

	out, failed := try("user_new")
	want := loggedIn + "User user_new was given standard access to client cust_1, and the API shows it\n" +
		"The access was revoked, and the API shows that it is gone\n"
	if diff := cmp.Diff([]string{want, ""}, []string{out, failed}); diff != "" {
		t.Errorf("a relation that is not there: -want +got:\n%s", diff)
	}

	out, failed = try("user_there")
	want = "user user_there has access to client cust_1 (Standard): name a relation that nobody needs, since it is revoked at the end"
	if diff := cmp.Diff([]string{loggedIn, want}, []string{out, failed}); diff != "" {
		t.Errorf("a relation that is there: -want +got:\n%s", diff)
	}

	got := []map[string]bool{n.Platform.Relations("user_new"), n.Platform.Relations("user_there")}
	if diff := cmp.Diff([]map[string]bool{{}, {"cust_1": false}}, got); diff != "" {
		t.Errorf("relations afterwards: -want +got:\n%s", diff)
	}
	if grants, removals := n.Platform.Count(delossim.OpRelate), n.Platform.Count(delossim.OpUnrelate); grants != 1 || removals != 1 {
		t.Errorf("%d grants and %d removals, want one of each", grants, removals)
	}
}

// A trial of a connection that cannot be used says why.
func TestTrialOfRefusedCredentials(t *testing.T) {
	underDeployedOperator(t)
	n := newTenant(t, delossim.Config{})
	create(t, n.secret(map[string]string{"login": account.Login, "password": wrongPassword}))
	create(t, n.connection(n.Platform.URL))
	limit, done := context.WithTimeout(t.Context(), 10*time.Second)
	defer done()
	var out bytes.Buffer

	err := (&trial.Trial{
		Kube: kube, Connection: types.NamespacedName{Namespace: n.Namespace, Name: v1alpha1.DefaultConnectionName}, Out: &out, Now: time.Now,
	}).Run(limit)

	want := "the APIConnection " + n.Namespace + "/default is not Ready: " + v1alpha1.ReasonLoginRefused + ": "
	if err == nil || !strings.HasPrefix(err.Error(), want) || out.Len() > 0 {
		t.Errorf("got %v and %q, want %s", err, out.String(), want)
	}
}
