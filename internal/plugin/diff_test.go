package plugin

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// manifest is a ClientBinding as people write it.
func manifest(name, user, cuid string, owner bool, more ...string) string {
	return fmt.Sprintf(`---
apiVersion: access.delos.financial/v1alpha1
kind: ClientBinding
metadata: {name: %s}
spec: {userUUID: %s, cuid: %s, isOwner: %t%s}
`, name, user, cuid, owner, strings.Join(append([]string{""}, more...), ", "))
}

// claim lets a binding answer for its relation, as the operator does.
func claim(t *testing.T, n *tenant, binding *v1alpha1.ClientBinding) {
	t.Helper()
	binding.Status.Claim = &v1alpha1.Claim{
		Origin:     v1alpha1.OriginCreated,
		Connection: v1alpha1.ClaimConnection{Namespace: n.namespace, Name: "default", Host: strings.TrimPrefix(n.url, "http://")},
	}
	ready(t, binding, metav1.ConditionTrue, v1alpha1.ReasonBound, "bound")
}

func TestDiff(t *testing.T) {
	n := newTenant(t, delossim.Config{Users: []delossim.User{
		{UUID: "u_1", Username: "anna", Relations: map[string]bool{"c_a": true, "c_b": true, "c_c": false}},
		{UUID: "u_2", Relations: map[string]bool{"c_b": false, "c_d": true}},
		{UUID: "u_3", Relations: map[string]bool{"c_d": true}},
		{UUID: "u_gone", IsDeleted: true},
	}, Clients: []string{"c_e"}})
	n.Inject(delossim.Fault{Op: delossim.OpUser, User: "u_odd", Failure: delossim.Answer{Body: `{}`}})
	for _, name := range []string{"a", "d"} {
		user := map[string]string{"a": "u_1", "d": "u_3"}[name]
		claim(t, n, n.declare(t, name, user, "c_"+name, true, func(b *v1alpha1.ClientBinding) { b.Labels = map[string]string{"app": "access"} }))
	}
	n.declare(t, "other-team", "u_3", "c_c", false)
	directory := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one.yaml", manifest("a", "u_1", "c_a", false)+manifest("b", "u_1", "c_b", true)+manifest("c", "u_1", "c_c", true)+
		manifest("e", "u_2", "c_e", false)+manifest("f", "u_2", "c_e", true)+"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")
	write("two.yaml", manifest("g", "u_nobody", "c_e", true)+manifest("h", "u_gone", "c_e", true)+manifest("i", "u_2", "c_b", true, "suspend: true")+
		manifest("bad", "a person", "c_e", true)+manifest("odd", "u_odd", "c_e", true)+
		manifest("field", "u_1", "c_e", true, "isowner: true")+manifest("late", "u_2", "c_e", true, `expiresAt: "tomorrow"`)+manifest("case", "u_1", "C_E", true)+
		manifest("waits", "u_1", "c_e", true, "connectionRef: {name: other}"))
	write("kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: "+n.namespace+"\nresources: [one.yaml, two.yaml]\n")

	body := `+ anna (u_1) becomes owner of client C_E
    the API shows "c_e", which differs only in its case: did you mean that one?
~ anna (u_1) is owner of client c_a no more, and keeps standard access
  u_2 stays at client c_b: standard access
    ClientBinding NAMESPACE/i is suspended, so nothing is granted or corrected
~ anna (u_1) becomes owner of client c_c (was: standard access)
+ u_2 gets standard access to client c_e
    ClientBinding NAMESPACE/f would be in conflict with the older one NAMESPACE/e
  u_gone stays at client c_e: no access
    the user is deleted in the API
  u_nobody stays at client c_e: no access
    the API knows no such user
? what u_odd has at client c_e cannot be read
    the answer is not a user in JSON
`
	refused := `! refused: ClientBinding NAMESPACE/bad: ClientBinding.access.delos.financial "bad" is invalid: spec.userUUID: Invalid value: "a person": must consist of letters, digits, '_' and '-' only, as in 158a190e-c4a9-4e6c-bf9b-4ef74ae345eb: copy the user's uuid from the Delos platform (not the username or e-mail address)
! refused: ClientBinding NAMESPACE/field: failed to create typed patch object (NAMESPACE/field; access.delos.financial/v1alpha1, Kind=ClientBinding): .spec.isowner: field not declared in schema
! refused: ClientBinding NAMESPACE/late: ClientBinding.access.delos.financial "late" is invalid: spec.expiresAt: Invalid value: "tomorrow": must be a time in UTC as in 2026-12-31T17:00:00Z
! ClientBinding NAMESPACE/waits would wait: reading APIConnection NAMESPACE/other (see --connection, or name the API by --url): apiconnections.access.delos.financial "other" not found
`
	want := result{body + "! client c_a would be left without any owner\n" + refused + "9 relations looked at, 4 unchanged\n", exitFindings}
	expect(t, "directory", want, n.run(t, "diff", "-f", directory))
	expect(t, "kustomization", want, n.run(t, "diff", "-k", directory))

	// What is pruned is revoked if the ClientBinding answers for it, and c_d keeps another owner.
	pruned := body[:strings.Index(body, "+ u_2")] + "- u_3 loses all access to client c_d (was: owner)\n" + body[strings.Index(body, "+ u_2"):]
	want = result{pruned + "! client c_a would be left without any owner\n" + refused + "10 relations looked at, 4 unchanged\n", exitFindings}
	expect(t, "pruned", want, n.run(t, "diff", "-f", directory, "--prune", "-l", "app=access"))

	same, _ := n.runWith(t.Context(), map[string]string{"stdin": manifest("b", "u_1", "c_b", true)}, "diff", "-f", "-")
	expect(t, "standard input", result{"1 relation looked at, 1 unchanged\n", exitClean}, same)
	unsendable, _ := n.runWith(t.Context(), map[string]string{"stdin": manifest("", "u_1", "c_e", true) + manifest("a/b", "u_1", "c_e", true) +
		strings.Replace(manifest("version", "u_1", "c_e", true), "v1alpha1", "v9", 1) + manifest("b", "u_1", "c_b", true)}, "diff", "-f", "-")
	expect(t, "manifests that cannot be sent", result{`! refused: ClientBinding NAMESPACE/: metadata.name is missing
! refused: ClientBinding NAMESPACE/a/b: the name "a/b" may not contain '/'
! refused: ClientBinding NAMESPACE/version: no matches for kind "ClientBinding" in version "access.delos.financial/v9"
1 relation looked at, 1 unchanged
`, exitFindings}, unsendable)
	n.Inject(delossim.Fault{Op: delossim.OpList, Failure: delossim.Answer{Status: 403, Body: `{"error": "Permission denied"}`}})
	unlisted, _ := n.runWith(t.Context(), map[string]string{"stdin": manifest("a", "u_1", "c_a", false)}, "diff", "-f", "-")
	expect(t, "an account that may not list users", result{`~ anna (u_1) is owner of client c_a no more, and keeps standard access
! client c_a may be left without any owner: the account may not list its users: Permission denied
1 relation looked at, 0 unchanged
`, exitFindings}, unlisted)
	if got := n.run(t, "diff"); got.Code != exitFailed {
		t.Errorf("without manifests: %+v", got)
	}
	if n.Count(delossim.OpRelate)+n.Count(delossim.OpUnrelate) > 0 {
		t.Error("a diff changed something")
	}
	var list v1alpha1.ClientBindingList
	if err := kube.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	for _, binding := range list.Items {
		if binding.Namespace == n.namespace && binding.Name == "b" {
			t.Error("a diff applied something")
		}
	}
}

// TestDiffOfOneNamespace tells which ClientBindings it cannot look at.
func TestDiffOfOneNamespace(t *testing.T) {
	n := newTenant(t, delossim.Config{Users: []delossim.User{{UUID: "u_1"}}, Clients: []string{"c_1"}})
	homeless := n.declare(t, "homeless", "u_1", "c_1", true, func(b *v1alpha1.ClientBinding) {
		b.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: "other"}
	})
	defer func() { // The reports of other tests would leave it out, too.
		if err := kube.Delete(t.Context(), homeless); err != nil {
			t.Error(err)
		}
	}()
	permit(t, n.namespace, "team", []string{"clientbindings", "apiconnections", "secrets"}, "get", "list", "patch", "create")
	got, said := n.runWith(t.Context(), map[string]string{"stdin": manifest("one", "u_1", "c_1", false)}, "diff", "--as", "team", "-f", "-")
	expect(t, "diff", result{"+ u_1 gets standard access to client c_1\n1 relation looked at, 0 unchanged\n", exitFindings}, got)
	expect(t, "notes", `Note: you may not read ClientBindings of all namespaces, so only those of NAMESPACE are looked at
Note: left out: 1 ClientBinding whose APIConnection is not there, or may not be read by you (see --default-connection)
`, said)
}
