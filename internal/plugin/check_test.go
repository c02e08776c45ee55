package plugin

import (
	"context"
	"encoding/pem"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

func TestCheck(t *testing.T) {
	const seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	const begin = "ok   name             127.0.0.1 is an address\nok   TLS              none: the API is on this machine\n"
	const bearer = begin + "ok   login            accepted with login and password\nok   authorization    the API takes the access token in the form Bearer\n"
	const listed = "ok   list users       the first page has 2 users of 2\n"
	const documented = listed + "ok   get user         1 read\nok   form of answers  the user's id is called uuid, the clients stand in item.clients, a client's id is called customerId\n"
	const advice = "\nThe APIConnection needs:\n\nspec:\n  credentials:\n    secretRef:\n      name: delos\n"
	const url = "  url: http://HOST\n"
	const unwritten = "\nWhich form of a relation the API takes shows only in a write: see --write-test.\n"
	const another = "\nIts spec.dialect is another one now: correct it.\n"
	for _, test := range []struct {
		reason    string
		config    delossim.Config
		arrange   func(*tenant)
		arguments []string
		want      string
		code      int
		relations map[string]bool
	}{
		{reason: "the documented API", want: bearer + documented + advice + url + unwritten},
		{
			reason: "the other forms of answers", config: delossim.Config{Settings: delossim.Settings{NameUserID: true, NameCUID: true, ClientsAtTop: true, OmitTotal: true}},
			want: bearer + "ok   list users       the first page has 2 users\nok   get user         1 read\n" +
				"ok   form of answers  the user's id is called userId, the clients stand in clients, a client's id is called cuid\n" + advice + url + unwritten,
		},
		{
			reason: "a token alone", config: delossim.Config{Settings: delossim.Settings{BareToken: true}}, code: exitFindings,
			want: strings.Replace(bearer, "Bearer", "Token", 1) + documented + advice + "  dialect:\n    authorization: Token\n" + url + unwritten + another,
		},
		{
			reason: "a flat relation", config: delossim.Config{Settings: delossim.Settings{FlatRelation: true, LagReads: 1}}, code: exitFindings,
			arguments: []string{"--write-test", "u_1,c_2"}, relations: map[string]bool{"c_1": true},
			want: bearer + documented + "ok   write test       accepted; the API takes a relation in the form Flat\nok   read back        Get user shows it\nok   restore          the access is gone again, as Get user shows\n" +
				advice + "  dialect:\n    relationBody: Flat\n" + url + another,
		},
		{
			reason: "access that is there already", arguments: []string{"--write-test", "u_1,c_1"}, relations: map[string]bool{"c_1": true},
			want: bearer + documented + "ok   write test       accepted; the API takes a relation in the form Nested\nok   read back        Get user shows it\n" + advice + url,
		},
		{
			reason: "a client that is not there", arguments: []string{"--write-test", "u_1,c_9"}, relations: map[string]bool{"c_1": true}, code: exitFindings,
			want: bearer + documented + "FAIL write test       access could not be given: client not found: Customer not found: c_9\nok   restore          the access is gone again, as Get user shows\n",
		},
		{
			reason: "a second factor that is not given", arrange: func(n *tenant) { n.AddAccount(delossim.Account{Login: login, Password: password, TOTPSeed: seed}) }, code: exitFindings,
			want: begin + "FAIL login            refused with login and password: Unauthorized. If the account has a second factor, add its seed under the key totpSeed; else correct the Secret. Do not try again and again: that can lock the account\n",
		},
		{
			reason: "nobody is seen", arrange: func(n *tenant) { n.AddAccount(delossim.Account{Login: login, Password: password, SeesNobody: true}) }, code: exitFindings,
			want: bearer + "FAIL list users       the account sees no user: it cannot confirm or revoke any access. Use an account that sees them\n",
		},
		{
			reason: "no right to list", arrange: func(n *tenant) {
				n.Inject(delossim.Fault{Op: delossim.OpList, Failure: delossim.Answer{Status: 403, Body: `{"error": "Permission denied"}`}})
			}, code: exitFindings,
			want: bearer + "FAIL list users       forbidden: Permission denied. The operator does not need this right; import and report without --user do\n",
		},
	} {
		t.Run(test.reason, func(t *testing.T) {
			test.config.Users = []delossim.User{{UUID: "u_1", Relations: map[string]bool{"c_1": true}}, {UUID: "u_2"}}
			test.config.Clients = []string{"c_2"}
			n := newTenant(t, test.config)
			if test.arrange != nil {
				test.arrange(n)
			}
			expect(t, "check", result{test.want, test.code}, n.run(t, append([]string{"check"}, test.arguments...)...))
			if len(test.arguments) == 0 && n.Count(delossim.OpRelate)+n.Count(delossim.OpUnrelate) > 0 {
				t.Error("it wrote although it was not told to")
			}
			if test.relations != nil {
				expect(t, "relations afterwards", test.relations, n.Relations("u_1"))
			}
		})
	}
}

// TestCheckRestores: who has had enough of a write test is left with what there was.
func TestCheckRestores(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	n := newTenant(t, delossim.Config{
		Settings: delossim.Settings{LagReads: 2},
		Users:    []delossim.User{{UUID: "u_1", Relations: map[string]bool{"c_1": true}}}, Clients: []string{"c_2"},
		OnCall: func(call delossim.Call) {
			if call.Op == delossim.OpRelate {
				interrupt()
			}
		},
	})
	got, _ := n.runWith(ctx, nil, "check", "--write-test", "u_1,c_2")
	if got.Code != exitFailed && got.Code != exitFindings || !strings.Contains(got.Out, "the access is gone again, as Get user shows") {
		t.Errorf("got %+v", got)
	}
	expect(t, "relations afterwards", map[string]bool{"c_1": true}, n.Relations("u_1"))
}

// TestCheckTLS: an authority that is not known is said to belong into caBundle.
func TestCheckTLS(t *testing.T) {
	n := newTenant(t, delossim.Config{Users: []delossim.User{{UUID: "u_1", Relations: map[string]bool{"c_1": true}}}})
	server := httptest.NewTLSServer(n.Server)
	t.Cleanup(server.Close)
	own := map[string]string{"DELOS_LOGIN": login, "DELOS_PASSWORD": password}
	got, _ := n.runWith(t.Context(), own, "check", "--url", server.URL)
	if got.Code != exitFindings || !strings.Contains(got.Out, "FAIL TLS              the certificate is not trusted: x509: certificate signed by unknown authority. Put the certificate of its authority into spec.caBundle (--ca-file)\n") {
		t.Errorf("got %+v", got)
	}
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte("# of the operator\nlogin="+login+"\r\npassword="+password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, _ = n.runWith(t.Context(), nil, "check", "--url", server.URL, "--ca-file", bundle, "--credentials", file)
	if got.Code != exitClean || !strings.Contains(got.Out, "ok   TLS              trusted until 2084-01-29, issued by O=Acme Co\n") || !strings.Contains(got.Out, "caBundle: |") {
		t.Errorf("got %+v", got)
	}
}

func TestStatus(t *testing.T) {
	n := newTenant(t, delossim.Config{})
	expect(t, "nothing looked at yet", result{`NotLookedAt (goes on): 1
├─ to act: the administrators of the operator
├─ for example: The operator has not looked at the object as it is now: see whether it runs
└─ apiconnection NAMESPACE/default
0 Ready, 1 cause to look at
`, exitFindings}, n.run(t, "status"))
	connection := &v1alpha1.APIConnection{}
	if err := kube.Get(t.Context(), key{Namespace: n.namespace, Name: "default"}, connection); err != nil {
		t.Fatal(err)
	}
	connection.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonLoggedIn, ObservedGeneration: 1, LastTransitionTime: metav1.NewTime(now)}}
	if err := kube.Status().Update(t.Context(), connection); err != nil {
		t.Fatal(err)
	}
	expect(t, "all Ready", result{"1 Ready, 0 causes to look at\n", exitClean}, n.run(t, "status"))
	for _, name := range []string{"one", "two", "three"} {
		ready(t, n.declare(t, name, "u_"+name, "c_1", true), metav1.ConditionFalse, v1alpha1.ReasonUserNotFound, "The Delos API knows\nno user "+name)
	}
	stalled := n.declare(t, "four", "u_4", "c_1", true, func(b *v1alpha1.ClientBinding) { b.Spec.Suspend = ptr.To(true) })
	stalled.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: "x", LastTransitionTime: metav1.NewTime(now)}}
	stalled.Status.Conditions = append(stalled.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonRevocationHeld, Message: "held", ObservedGeneration: 1, LastTransitionTime: metav1.NewTime(now)})
	if err := kube.Status().Update(t.Context(), stalled); err != nil {
		t.Fatal(err)
	}
	expect(t, "causes", result{`RevocationHeld (stalled): 1
├─ to act: the reviewer of revocations
├─ for example: held
└─ clientbinding NAMESPACE/four
UserNotFound (goes on): 3
├─ to act: the requester: correct the ClientBinding
├─ for example: The Delos API knows no user one
├─ clientbinding NAMESPACE/one
├─ clientbinding NAMESPACE/three
└─ clientbinding NAMESPACE/two
1 Ready, 2 causes to look at
`, exitFindings}, n.run(t, "status"))
}

// TestStatusOfBindingsAlone: a person who may not read APIConnections sees the ClientBindings.
func TestStatusOfBindingsAlone(t *testing.T) {
	n := newTenant(t, delossim.Config{})
	claim(t, n, n.declare(t, "one", "u_1", "c_1", true))
	permit(t, n.namespace, "requester", []string{"clientbindings"}, "list")
	got, said := n.runWith(t.Context(), nil, "status", "--as", "requester")
	expect(t, "status", result{"1 Ready, 0 causes to look at\n", exitClean}, got)
	expect(t, "note", "Note: you may not read APIConnections, so only ClientBindings are looked at\n", said)
}

// TestEveryReasonHasAnActor compares the reasons of the API with those for which an actor is named.
func TestEveryReasonHasAnActor(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../api/v1alpha1/conditions.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{notLookedAt: true}
	ast.Inspect(file, func(node ast.Node) bool {
		spec, is := node.(*ast.ValueSpec)
		if is && strings.HasPrefix(spec.Names[0].Name, "Reason") {
			known[strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`)] = true
		}
		return true
	})
	expect(t, "reasons", sortedKeys(known), sortedKeys(actors))
}
