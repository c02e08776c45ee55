package plugin

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// declare makes a ClientBinding.
func (n *tenant) declare(t *testing.T, name, user, cuid string, owner bool, changes ...func(*v1alpha1.ClientBinding)) *v1alpha1.ClientBinding {
	t.Helper()
	binding := &v1alpha1.ClientBinding{ObjectMeta: n.meta(name), Spec: v1alpha1.ClientBindingSpec{UserUUID: user, CUID: cuid, IsOwner: owner}}
	for _, change := range changes {
		change(binding)
	}
	create(t, binding)
	return binding
}

// ready gives a binding the condition that the operator would.
func ready(t *testing.T, binding *v1alpha1.ClientBinding, status metav1.ConditionStatus, reason, message string) {
	t.Helper()
	binding.Status.ObservedGeneration = binding.Generation
	binding.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ConditionReady, Status: status, Reason: reason, Message: message, ObservedGeneration: binding.Generation, LastTransitionTime: metav1.NewTime(now),
	}}
	if err := kube.Status().Update(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
}

// allVerdicts has a relation of each verdict.
func allVerdicts(t *testing.T) *tenant {
	t.Helper()
	n := newTenant(t, delossim.Config{
		Users: []delossim.User{
			{UUID: "u_1", Username: "=HYPERLINK(1)", Relations: map[string]bool{"c_declared": true, "c_undeclared": false, "c_owned": true, "c_kind": true}},
			{UUID: "u_2", Username: "<script>alert(1)</script>", Relations: map[string]bool{"c_late": false, "c_held": true, "c_going": false, "c_suspended": true}},
			{UUID: "u_3", Username: "third"},
			{UUID: "u_gone", IsDeleted: true, Relations: map[string]bool{"c_deleted": true}},
			{UUID: "u_odd", Relations: map[string]bool{"c_odd": true}},
		},
		ClientNames: map[string]string{"c_declared": "Acme & <b>Sons</b>"},
	})
	n.Inject(delossim.Fault{Op: delossim.OpUser, User: "u_odd", Failure: delossim.Rewrite{Old: `"isOwner":true`, New: `"isOwner":1`}})
	leaving := func(b *v1alpha1.ClientBinding) { b.Finalizers = []string{v1alpha1.RevokeFinalizer} }
	past := func(b *v1alpha1.ClientBinding) { b.Spec.ExpiresAt = ptr.To(metav1.NewTime(now.Add(-time.Hour))) }
	n.declare(t, "declared", "u_1", "c_declared", true, func(b *v1alpha1.ClientBinding) {
		b.Annotations = map[string]string{v1alpha1.RequestedByAnnotation: "lead@example.com"}
		b.Spec.Justification = "+1: \x1b[31m<img src=x onerror=alert(1)>"
		b.Spec.ExpiresAt = ptr.To(metav1.NewTime(now.Add(time.Hour)))
	})
	n.declare(t, "declared-too", "u_1", "c_declared", false)
	n.declare(t, "kind", "u_1", "c_kind", false)
	n.declare(t, "missing", "u_3", "c_missing", true)
	n.declare(t, "nobody", "u_nobody", "c_missing", false)
	n.declare(t, "deleted", "u_gone", "c_deleted", true)
	n.declare(t, "late", "u_2", "c_late", false, past)
	n.declare(t, "expired", "u_3", "c_late", false, past)
	n.declare(t, "before", "u_1", "c_declared", false, past)
	n.declare(t, "almost", "u_1", "C_KIND", false)
	held := n.declare(t, "held", "u_2", "c_held", true, leaving)
	going := n.declare(t, "going", "u_2", "c_going", false, leaving)
	n.declare(t, "suspended", "u_2", "c_suspended", false, func(b *v1alpha1.ClientBinding) { b.Spec.Suspend = ptr.To(true) })
	n.declare(t, "odd", "u_odd", "c_odd", true)
	for _, binding := range []*v1alpha1.ClientBinding{held, going} {
		if err := kube.Delete(t.Context(), binding); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = kube.Patch(context.WithoutCancel(t.Context()), binding, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`)))
		})
	}
	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(held), held); err != nil {
		t.Fatal(err)
	}
	ready(t, held, metav1.ConditionFalse, v1alpha1.ReasonRevocationHeld, "held")
	return n
}

func TestReport(t *testing.T) {
	n := allVerdicts(t)
	want := `VERDICT           CLIENT         USER       DECLARED   ACTUAL     CLIENTBINDING
Undeclared        c_owned        u_1        None       Owner      -
Undeclared        c_undeclared   u_1        None       Standard   -
OtherKind         c_kind         u_1        Standard   Owner      NAMESPACE/kind
Missing           c_deleted      u_gone     Owner      None       NAMESPACE/deleted
Missing           c_missing      u_3        Owner      None       NAMESPACE/missing
Missing           c_missing      u_nobody   Standard   None       NAMESPACE/nobody
ExpiredButThere   c_late         u_2        None       Standard   NAMESPACE/late
Held              c_held         u_2        None       Owner      NAMESPACE/held
Revoking          c_going        u_2        None       Standard   NAMESPACE/going
Suspended         c_suspended    u_2        Standard   Owner      NAMESPACE/suspended
Conflict          c_declared     u_1        Standard   Owner      NAMESPACE/declared-too
Unreadable        c_odd          u_odd      Owner      Unknown    NAMESPACE/odd
Unreadable        C_KIND         u_1        Standard   Unknown    NAMESPACE/almost
AsDeclared        c_declared     u_1        Owner      Owner      NAMESPACE/declared
Expired           c_late         u_3        None       None       NAMESPACE/expired
Replaced          c_declared     u_1        None       Owner      NAMESPACE/before

14 relations: 2 undeclared, 1 of the other kind, 3 missing, 1 expired and still there, 1 held by the brake on revocations, 1 being revoked, 1 suspended and not as declared, 1 declared twice, 2 unreadable, 1 as declared, 1 expired, 1 declared anew
Looked at 2026-11-27T12:00:00Z: 6 users of HOST through APIConnection NAMESPACE/default, 14 ClientBindings of all namespaces
`
	expect(t, "report", result{want, exitFindings}, n.run(t, "report"))

	t.Run("wide", func(t *testing.T) {
		got := n.run(t, "report", "-o", "wide")
		for _, want := range []string{"lead@example.com", "+1: [31m<img src=x onerror=alert(1)>", "2026-11-27T13:00:00Z", "the user is deleted in the API", "the API knows no such user", `the API shows "c_kind", which differs only in its case: did you mean that one?`, "ClientBinding NAMESPACE/declared is older, and holds the relation", "Acme & <b>Sons</b>"} {
			if !strings.Contains(got.Out, want) {
				t.Errorf("has no %q:\n%s", want, got.Out)
			}
		}
		if strings.Contains(got.Out, "\x1b") {
			t.Error("has a control character")
		}
	})
	t.Run("json", func(t *testing.T) {
		var made report
		if err := json.Unmarshal([]byte(n.run(t, "report", "-o", "json", "--owners").Out), &made); err != nil {
			t.Fatal(err)
		}
		expect(t, "counts", map[Verdict]int{Undeclared: 1, OtherKind: 1, Missing: 2, Held: 1, Suspended: 1, Conflict: 1, Unreadable: 2, AsDeclared: 1, Replaced: 1}, made.Counts)
		last := made.Entries[len(made.Entries)-2]
		last.DeclaredSince = nil
		at := now.Add(time.Hour)
		expect(t, "entry", entry{
			Client: "c_declared", ClientName: "Acme & <b>Sons</b>", User: "u_1", Username: "=HYPERLINK(1)", UserStatus: "ACCEPT",
			Declared: "Owner", Actual: "Owner", Verdict: AsDeclared, Binding: "NAMESPACE/declared",
			Requester: "lead@example.com", Justification: "+1: \x1b[31m<img src=x onerror=alert(1)>", ExpiresAt: &at,
		}, last)
	})
	t.Run("csv", func(t *testing.T) {
		lines, err := csv.NewReader(strings.NewReader(n.run(t, "report", "-o", "csv").Out)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			for _, cell := range line {
				if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
					t.Errorf("a spreadsheet takes %q for a formula", cell)
				}
			}
		}
		if len(lines) != 17 {
			t.Errorf("%d lines, want 17", len(lines))
		}
	})
	t.Run("html", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "access.html")
		expect(t, "result", result{"", exitFindings}, n.run(t, "report", "-o", "html", "--file", path))
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(content)
		if strings.Count(text, "<script>") != 1 || strings.Contains(text, "<img") || strings.Contains(text, "<b>") {
			t.Error("a name became markup")
		}
		if outside := regexp.MustCompile(`(?i) (src|href)=|url\(|@import`).FindString(strings.ReplaceAll(text, "&lt;img src=", "")); outside != "" {
			t.Errorf("refers to something outside of it: %s", outside)
		}
		if rows := strings.Count(text, `<tr data-verdict=`); rows != 16 {
			t.Errorf("%d rows, want 16", rows)
		}
		for _, want := range []string{"Not as declared: 13 of 14 relations", `<td>c_declared<small>Acme &amp; &lt;b&gt;Sons&lt;/b&gt;</small></td><td class="number">1</td><td class="number">0</td><td class="number">1</td>`} {
			if !strings.Contains(text, want) {
				t.Errorf("has no %s", want)
			}
		}
	})
	t.Run("a part", func(t *testing.T) {
		for _, test := range []struct {
			arguments []string
			want      []Verdict
			code      int
		}{
			{[]string{"report", "--undeclared", "--owners"}, []Verdict{Undeclared}, exitFindings},
			{[]string{"report", "--client", "c_late"}, []Verdict{ExpiredButThere, Expired}, exitFindings},
			{[]string{"report", "--user", "u_3", "--client", "c_late"}, []Verdict{Expired}, exitClean},
			{[]string{"who", "c_declared"}, []Verdict{Conflict, AsDeclared, Replaced}, exitFindings},
			{[]string{"who", "c_nothing"}, nil, exitClean},
			{[]string{"what", "u_3"}, []Verdict{Missing, Expired}, exitFindings},
		} {
			got := n.run(t, append(test.arguments, "-o", "json")...)
			var made report
			if err := json.Unmarshal([]byte(got.Out), &made); err != nil {
				t.Fatal(err)
			}
			var found []Verdict
			for _, one := range made.Entries {
				found = append(found, one.Verdict)
			}
			expect(t, strings.Join(test.arguments, " "), test.want, found)
			expect(t, strings.Join(test.arguments, " "), test.code, got.Code)
		}
	})
	if n.Count(delossim.OpRelate)+n.Count(delossim.OpUnrelate) > 0 {
		t.Error("a report changed something")
	}
}

// TestReportOfWhatCannotBeRead: an answer that cannot be read may hide any access, so no part of a report is clean.
func TestReportOfWhatCannotBeRead(t *testing.T) {
	n := newTenant(t, delossim.Config{Users: []delossim.User{{UUID: "u_1", Relations: map[string]bool{"c_1": true}}}})
	n.Inject(delossim.Fault{Op: delossim.OpUser, Failure: delossim.Answer{Body: `{}`}})
	for _, arguments := range [][]string{{"report"}, {"report", "--undeclared", "--owners"}, {"who", "c_1"}, {"what", "u_1"}} {
		got := n.run(t, arguments...)
		if got.Code != exitFindings || !strings.Contains(got.Out, "Unreadable   -        u_1    None       Unknown") {
			t.Errorf("%s: %+v", arguments, got)
		}
	}
}

// TestOnlyWhoMayHoldsTheRelation: what its connection does not allow declares no access, and a suspended ClientBinding without a claim keeps none
// from the relation, as for the operator.
func TestOnlyWhoMayHoldsTheRelation(t *testing.T) {
	n := newTenant(t, delossim.Config{Users: []delossim.User{
		{UUID: "u_1", Relations: map[string]bool{"c_1": false}}, {UUID: "u_2", Relations: map[string]bool{"c_1": true}}, {UUID: "u_3"},
	}, Clients: []string{"c_1"}})
	connection := &v1alpha1.APIConnection{ObjectMeta: n.meta("default")}
	if err := kube.Patch(t.Context(), connection, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"allowed":{"owner":false}}}`))); err != nil {
		t.Fatal(err)
	}
	n.declare(t, "a-denied", "u_1", "c_1", true)
	n.declare(t, "b-holder", "u_1", "c_1", false)
	n.declare(t, "c-denied", "u_2", "c_1", true)
	n.declare(t, "d-idle", "u_3", "c_1", false, func(b *v1alpha1.ClientBinding) { b.Spec.Suspend = ptr.To(true) })
	n.declare(t, "e-holder", "u_3", "c_1", false)
	expect(t, "report", result{`VERDICT      CLIENT   USER   DECLARED   ACTUAL     CLIENTBINDING
NotAllowed   c_1      u_1    Owner      Standard   NAMESPACE/a-denied
NotAllowed   c_1      u_2    Owner      Owner      NAMESPACE/c-denied
Missing      c_1      u_3    Standard   None       NAMESPACE/e-holder
Suspended    c_1      u_3    Standard   None       NAMESPACE/d-idle
AsDeclared   c_1      u_1    Standard   Standard   NAMESPACE/b-holder

3 relations: 2 not allowed, 1 missing, 1 suspended and not as declared, 1 as declared
Looked at 2026-11-27T12:00:00Z: 3 users of HOST through APIConnection NAMESPACE/default, 5 ClientBindings of all namespaces
`, exitFindings}, n.run(t, "report"))
	expect(t, "undeclared", result{`VERDICT      CLIENT   USER   DECLARED   ACTUAL   CLIENTBINDING
NotAllowed   c_1      u_2    Owner      Owner    NAMESPACE/c-denied

1 relation: 1 not allowed
Looked at 2026-11-27T12:00:00Z: 3 users of HOST through APIConnection NAMESPACE/default, 5 ClientBindings of all namespaces; only access that nobody declares
`, exitFindings}, n.run(t, "report", "--undeclared"))
	if got := n.run(t, "what", "u_2", "-o", "wide"); !strings.Contains(got.Out, "APIConnection NAMESPACE/default does not allow it (spec.allowed: owner)") {
		t.Errorf("does not say why: %s", got.Out)
	}
	said, _ := n.runWith(t.Context(), map[string]string{"stdin": manifest("b-holder", "u_1", "c_1", false) + manifest("e-holder", "u_3", "c_1", false)}, "diff", "-f", "-")
	expect(t, "diff", result{`  u_1 stays at client c_1: standard access
    ClientBinding NAMESPACE/a-denied changes nothing: APIConnection NAMESPACE/default does not allow it (spec.allowed: owner)
+ u_3 gets standard access to client c_1
2 relations looked at, 1 unchanged
`, exitFindings}, said)
}

// TestConnectionOfAClaim: without --default-connection, the claims say which connection the operator takes.
func TestConnectionOfAClaim(t *testing.T) {
	n := newTenant(t, delossim.Config{Users: []delossim.User{{UUID: "u_1", Relations: map[string]bool{"c_1": true}}}})
	n.allowNamespaces(t, v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesAll})
	team := newNamespace(t)
	claim(t, n, n.declare(t, "claimed", "u_1", "c_1", true, func(b *v1alpha1.ClientBinding) { b.Namespace = team }))
	run := func(arguments ...string) result {
		t.Helper()
		manifests := manifest("claimed", "u_1", "c_1", true) + manifest("unclaimed", "u_1", "c_2", true)
		environment := map[string]string{"stdin": strings.ReplaceAll(manifests, "metadata: {", "metadata: {namespace: "+team+", ")}
		maps.Copy(environment, own)
		got, _ := n.runWith(t.Context(), environment, arguments...)
		got.Out = strings.ReplaceAll(got.Out, team, "TEAM")
		return got
	}
	asDeclared := `VERDICT      CLIENT   USER   DECLARED   ACTUAL   CLIENTBINDING
AsDeclared   c_1      u_1    Owner      Owner    TEAM/claimed

1 relation: 1 as declared
`
	expect(t, "report", result{asDeclared + `Looked at 2026-11-27T12:00:00Z: 1 user of HOST through APIConnection NAMESPACE/default, 1 ClientBinding of all namespaces
`, exitClean}, run("report"))
	expect(t, "report by URL", result{asDeclared + `Looked at 2026-11-27T12:00:00Z: 1 user of HOST, 1 ClientBinding of all namespaces
`, exitClean}, run("report", "--url", n.url))
	expect(t, "undeclared owners", exitClean, run("report", "--undeclared", "--owners").Code)
	expect(t, "diff", result{`! ClientBinding TEAM/unclaimed would wait: reading APIConnection TEAM/default (see --connection, or name the API by --url): apiconnections.access.delos.financial "default" not found (see --default-connection)
1 relation looked at, 1 unchanged
`, exitFindings}, run("diff", "-f", "-"))
	directory := t.TempDir()
	expect(t, "import", result{"0 ClientBindings of 1 user in 0 files in " + directory + `
Declared already: user u_1 at client c_1, by ClientBinding TEAM/claimed
`, exitClean}, run("import", "-d", directory))

	if err := kube.Delete(t.Context(), &v1alpha1.APIConnection{ObjectMeta: n.meta("default")}); err != nil {
		t.Fatal(err)
	}
	for want, arguments := range map[string][]string{
		"APIConnection NAMESPACE/default is not there (see --default-connection)": nil,
		"APIConnection NAMESPACE/other is not there":                              {"--default-connection", n.namespace + "/other"},
	} {
		got := run(append([]string{"report", "--url", n.url, "-o", "json"}, arguments...)...)
		var made report
		if err := json.Unmarshal([]byte(got.Out), &made); err != nil {
			t.Fatal(err)
		}
		var why []string
		for _, one := range made.Entries {
			why = append(why, string(one.Verdict)+": "+one.Why)
		}
		expect(t, "without the connection", []string{"NotAllowed: " + want}, why)
	}
}

// TestViewer: a person with the viewer's ClusterRole alone may not get namespaces, by whose labels a connection can allow. The commands tell
// what that leaves open.
func TestViewer(t *testing.T) {
	n := newTenant(t, delossim.Config{Users: []delossim.User{{UUID: "u_1", Relations: map[string]bool{"c_1": true}}}})
	n.allowNamespaces(t, v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesSelector, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}}})
	n.declare(t, "one", "u_1", "c_1", true)
	n.declare(t, "two", "u_1", "c_1", true)
	auditor := "auditor-of-" + n.namespace
	view(t, auditor)
	for scope, arguments := range map[string][]string{
		"":                   {"report"},
		"; only clients c_1": {"who", "c_1"},
		"; only users u_1":   {"what", "u_1"},
	} {
		got, _ := n.runWith(t.Context(), own, append(arguments, "--as", auditor, "--url", n.url)...)
		expect(t, arguments[0], result{`VERDICT      CLIENT   USER   DECLARED   ACTUAL   CLIENTBINDING
Conflict     c_1      u_1    Owner      Owner    NAMESPACE/two
AsDeclared   c_1      u_1    Owner      Owner    NAMESPACE/one

1 relation: 1 declared twice, 1 as declared
Looked at 2026-11-27T12:00:00Z: 1 user of HOST, 2 ClientBindings of all namespaces` + scope + `
Note: counted as allowed: 2 ClientBindings whose APIConnection, or Namespace with the labels for spec.allowed, may not be read by you
`, exitFindings}, got)
	}
	permit(t, n.namespace, auditor, []string{"secrets", "clientbindings"}, "get", "patch")
	got, said := n.runWith(t.Context(), map[string]string{"stdin": manifest("one", "u_1", "c_1", false)}, "diff", "--as", auditor, "-f", "-")
	expect(t, "diff"+said, result{`~ u_1 is owner of client c_1 no more, and keeps standard access
    ClientBinding NAMESPACE/one counts as allowed: reading the labels of namespace NAMESPACE, by which the APIConnection allows: namespaces "NAMESPACE" is forbidden: User "auditor-of-NAMESPACE" cannot get resource "namespaces" in API group "" in the namespace "NAMESPACE"
    ClientBinding NAMESPACE/two would be in conflict with the older one NAMESPACE/one
! client c_1 would be left without any owner
1 relation looked at, 0 unchanged
`, exitFindings}, got)
}

// TestUnusableArgumentsAreRefused: a script whose variable is empty does not ask about all, or about nothing.
func TestUnusableArgumentsAreRefused(t *testing.T) {
	n := newTenant(t, delossim.Config{})
	for says, of := range map[string][][]string{
		" is empty: ": {
			{"who", ""}, {"what", ""}, {"report", "--client", ""}, {"report", "--user", ""}, {"diff", "-f", ""}, {"check", "--write-test", ""},
			{"import", "-d", t.TempDir(), "--client", ""},
		},
		"give it as NAMESPACE/NAME": {{"report", "--default-connection", "delos"}, {"diff", "--default-connection", "/delos", "-f", "x.yaml"}},
	} {
		for _, arguments := range of {
			if got := n.run(t, arguments...); got.Code != exitFailed || !strings.Contains(got.Out, says) {
				t.Errorf("%q: %+v", arguments, got)
			}
		}
	}
	if calls := n.Count(delossim.OpLogin); calls > 0 {
		t.Errorf("%d logins", calls)
	}
}

// TestReportFileIsTriedFirst: nothing is read for a file that cannot be written.
func TestReportFileIsTriedFirst(t *testing.T) {
	n := newTenant(t, delossim.Config{})
	directory := t.TempDir()
	for _, path := range []string{filepath.Join(directory, "missing", "access.html"), directory} {
		if got := n.run(t, "report", "-o", "html", "--file", path); got.Code != exitFailed || !strings.HasPrefix(got.Out, "Error: --file: ") {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if calls := n.Count(delossim.OpLogin); calls > 0 {
		t.Errorf("%d logins", calls)
	}
	expect(t, "files", map[string]string{}, n.files(t, directory))
}

// TestReportReadsOnlyWhatItMay: a caller who may read one namespace is told that the report is about that one.
func TestReportOfOneNamespace(t *testing.T) {
	n := allVerdicts(t)
	got := n.run(t, "report", "-o", "csv", "--as", "team", "--client", "c_declared")
	if got.Code != exitFailed || !strings.Contains(got.Out, "is forbidden") {
		t.Errorf("without any right: %+v", got)
	}
	allow(t, n.namespace, "team")
	got = n.run(t, "report", "--as", "team", "--client", "c_declared")
	if got.Code != exitFindings || !strings.Contains(got.Out, "3 ClientBindings of namespace NAMESPACE; only clients c_declared") {
		t.Errorf("with rights in the namespace: %+v", got)
	}
}

// TestCompletion offers what is declared, and hides what a shell would take for an error.
func TestCompletion(t *testing.T) {
	n := newTenant(t, delossim.Config{})
	allow(t, n.namespace, "team")
	n.declare(t, "one", "u_1", "c_1", true)
	n.declare(t, "two", "u_1", "c_2", true)
	for command, want := range map[string]string{"who": "c_1\nc_2\n:4\n", "what": "u_1\n:4\n"} {
		got, _ := n.runWith(t.Context(), nil, "__complete", "--as", "team", "--kubeconfig", kubeconfig, "--namespace", n.namespace, command, "")
		expect(t, command, want, got.Out)
	}
}
