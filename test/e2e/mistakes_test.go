package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// mistake is a mistake of a person, and the place of its message.
type mistake struct {
	// title names it.
	title string
	// manifest is applied.
	manifest string
	// namespace is where it is applied; team-a when empty.
	namespace string
	// as is the ServiceAccount that makes it; the administrator when empty.
	as string
	// binding or connection is the object whose condition Ready then has the reason; none when kubectl says it at once.
	binding, connection string
	reason              string
	// before is the message of version 0.1, if it was less clear.
	before string
}

// TestMistakes makes each mistake on a real API server, with the real kubectl, and compares the messages with docs/mistakes.md.
func TestMistakes(t *testing.T) {
	underDeployedOperator(t)
	n := &tenant{box.NewTenant(t, "mistakes", delossim.Config{
		Users: []delossim.User{{UUID: "user_abc123def"}}, Clients: []string{"cust_789xyz", "DoxdEEV-4IJq-zKeUYqrtqVDK"},
	})}
	create(t, n.Secret(secretName, account))
	create(t, n.Secret("wrong-password", delossim.Account{Login: account.Login, Password: wrongPassword}))
	incomplete := n.secret(map[string]string{"username": account.Login, v1alpha1.SecretKeyPassword: account.Password})
	incomplete.Name = "wrong-keys"
	create(t, incomplete)
	create(t, n.Connection("delos", n.Platform.URL, secretName))
	n.bind(t, "dev", "clientbinding-operator-requester", "NS")
	other := newTenant(t, delossim.Config{})
	create(t, other.Secret(secretName, account))
	create(t, other.Connection("shared", n.Platform.URL, secretName))
	apply := func(text string) {
		if _, err := cluster.Kubectl(t.Context(), text, "apply", "-n", n.Namespace, "-f", "-"); err != nil {
			t.Fatal(err)
		}
	}
	apply(binding("first", "userUUID: user_abc123def", "cuid: cust_789xyz", "isOwner: true"))
	sandbox.Within(t, 30*time.Second, func() string { return n.says(t, "first", metav1.ConditionTrue, v1alpha1.ReasonBound) })

	forth := strings.NewReplacer(
		strings.TrimPrefix(n.Platform.URL, "http://"), "127.0.0.1:8080", other.Namespace, "platform", n.Namespace, "team-a")
	back := strings.NewReplacer("127.0.0.1:8080", strings.TrimPrefix(n.Platform.URL, "http://"), "platform", other.Namespace, "team-a", n.Namespace)
	var page bytes.Buffer
	page.WriteString(mistakesHead)
	for i, m := range mistakes {
		fmt.Fprintf(&page, "\n## %d. %s\n\n", i+1, m.title)
		shown := n.make(t, m, back)
		fmt.Fprintf(&page, "```yaml\n%s```\n\n", m.manifest)
		where := "kubectl says:"
		switch {
		case m.binding != "":
			where = "`kubectl get cb -o wide` says `" + m.reason + "`:"
		case m.connection != "":
			where = "`kubectl get apiconn -o wide` says `" + m.reason + "`:"
		}
		fmt.Fprintf(&page, "%s\n\n```text\n%s\n```\n", where, forth.Replace(shown))
		if m.before != "" {
			fmt.Fprintf(&page, "\nBefore:\n\n```text\n%s\n```\n", m.before)
		}
	}
	comparePage(t, "docs/mistakes.md", page.String())
}

// comparePage compares a document with the output of a test, and writes it with -update.
func comparePage(t *testing.T, page, shown string) {
	t.Helper()
	path := filepath.Join(root(t), page)
	if *update {
		if err := os.WriteFile(path, []byte(shown), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), shown); diff != "" {
		t.Errorf("%s is not what is shown: run this test with -args -update (-want +got):\n%s", page, diff)
	}
}

// make makes a mistake and returns its message.
func (n *tenant) make(t *testing.T, m mistake, back *strings.Replacer) string {
	t.Helper()
	arguments := []string{"apply", "-n", cmp.Or(m.namespace, n.Namespace), "-f", "-"}
	if m.as != "" {
		arguments = append(arguments, "--as="+serviceAccount(n.Namespace, m.as))
	}
	_, err := cluster.Kubectl(t.Context(), back.Replace(m.manifest), arguments...)
	if m.reason == "" {
		if err == nil {
			t.Fatalf("%s: kubectl said nothing", m.title)
		}
		_, said, _ := strings.Cut(err.Error(), "\n")
		return strings.TrimSpace(said)
	}
	if err != nil {
		t.Fatalf("%s: %v", m.title, err)
	}
	var conditions func() []metav1.Condition
	if m.binding != "" {
		conditions = func() []metav1.Condition {
			object := &v1alpha1.ClientBinding{}
			n.get(t, m.binding, object)
			return object.Status.Conditions
		}
	} else {
		conditions = func() []metav1.Condition {
			object := &v1alpha1.APIConnection{}
			n.get(t, m.connection, object)
			return object.Status.Conditions
		}
	}
	message := ""
	sandbox.Within(t, 30*time.Second, func() string {
		ready := meta.FindStatusCondition(conditions(), v1alpha1.ConditionReady)
		if ready == nil || ready.Reason != m.reason {
			return fmt.Sprintf("%s: Ready is %+v, want the reason %s", m.title, ready, m.reason)
		}
		message = ready.Message
		return ""
	})
	return message
}

func (n *tenant) get(t *testing.T, name string, object client.Object) {
	t.Helper()
	if err := kube.Get(t.Context(), client.ObjectKey{Namespace: n.Namespace, Name: name}, object); err != nil {
		t.Fatal(err)
	}
}

const mistakesHead = `# Likely mistakes and their messages

A test makes each of these mistakes on a real API server, with the real kubectl and a simulated platform, and writes this page
(` + "`TestMistakes`" + ` in [test/e2e](../test/e2e/mistakes_test.go)). Namespaces and addresses are replaced. If an earlier message was less clear, the page shows it, too.

` + "`kubectl get cb,apiconn -o wide`" + ` shows the message of a ClientBinding or an APIConnection in the column MESSAGE. ` + "`kubectl describe`" + ` shows it, too.
`

// binding is the manifest of a ClientBinding through the connection delos.
func binding(name string, fields ...string) string {
	text := object("ClientBinding", name, fields)
	if strings.Contains(text, "connectionRef") {
		return text
	}
	return text + "  connectionRef:\n    name: delos\n"
}

func object(kind, name string, fields []string) string {
	text := "apiVersion: access.delos.financial/v1alpha1\nkind: " + kind + "\nmetadata:\n  name: " + name + "\nspec:\n"
	for _, field := range fields {
		text += "  " + field + "\n"
	}
	return text
}

// connectionOf is the manifest of an APIConnection.
func connectionOf(name string, fields ...string) string { return object("APIConnection", name, fields) }

var (
	user    = "userUUID: user_abc123def"
	cuid    = "cuid: cust_789xyz"
	doxd    = "cuid: DoxdEEV-4IJq-zKeUYqrtqVDK"
	notMine = "isOwner: false"
	address = "url: http://127.0.0.1:8080"
)

var mistakes = []mistake{
	{title: "A typo in the name of a field", manifest: binding("typo", "userUuid: user_abc123def", cuid, notMine)},
	{title: "A wrong kind", manifest: strings.Replace(binding("kind", user, cuid, notMine), "kind: ClientBinding", "kind: ClientBindings", 1)},
	{title: "A namespace that does not exist", manifest: binding("elsewhere", user, doxd, notMine), namespace: "team-b"},
	{title: "No isOwner", manifest: binding("no-owner", user, cuid)},
	{title: "isOwner as a string", manifest: binding("text", user, cuid, `isOwner: "true"`)},
	{title: "An e-mail address as userUUID", manifest: binding("e-mail", "userUUID: john.smith@example.com", cuid, notMine)},
	{title: "An end without a time of day", manifest: binding("day", user, doxd, notMine, `expiresAt: "2026-12-31"`)},
	{title: "An end in the past", manifest: binding("past", user, doxd, notMine, `expiresAt: "2020-12-31T00:00:00Z"`), binding: "past", reason: v1alpha1.ReasonExpired},
	{title: "An unknown deletionPolicy", manifest: binding("policy", user, doxd, notMine, "deletionPolicy: Keep")},
	{title: "Another client for the same binding", manifest: binding("first", user, doxd, "isOwner: true")},
	{title: "Access without the verb grant", manifest: binding("unasked", user, doxd, "isOwner: true"), as: "dev",
		before: `access as owner of client DoxdEEV-4IJq-zKeUYqrtqVDK is given or prolonged only by who has the verb grant on clientbindings/owner named DoxdEEV-4IJq-zKeUYqrtqVDK in namespace team-a`},
	{title: "A url with a path", manifest: connectionOf("path", "url: https://api.example.com/v2", "credentials:", "  secretRef:", "    name: delos-credentials")},
	{title: "Plain http", manifest: connectionOf("http", "url: http://api.example.com", "credentials:", "  secretRef:", "    name: delos-credentials")},
	{title: "An interval in words", manifest: connectionOf("interval", address, "interval: 5 minutes", "credentials:", "  secretRef:", "    name: delos-credentials")},
	{title: "No APIConnection of that name", manifest: binding("nowhere", user, doxd, notMine, "connectionRef:", "  name: prod"), binding: "nowhere", reason: v1alpha1.ReasonConnectionNotFound,
		before: "Waits for APIConnection team-a/prod, which does not exist: create it"},
	{title: "An APIConnection of another namespace that does not allow it", manifest: binding("foreign", user, doxd, notMine, "connectionRef:", "  name: shared", "  namespace: platform"), binding: "foreign", reason: v1alpha1.ReasonNotAllowed},
	{title: "No such user", manifest: binding("nobody", "userUUID: user_abc123deg", doxd, notMine), binding: "nobody", reason: v1alpha1.ReasonUserNotFound},
	{title: "No such client", manifest: binding("no-client", user, "cuid: cust_789xyx", notMine), binding: "no-client", reason: v1alpha1.ReasonClientNotFound},
	{title: "A cuid in another case", manifest: binding("case", user, "cuid: doxdeev-4ijq-zkeuyqrtqvdk", notMine), binding: "case", reason: v1alpha1.ReasonClientNotFound},
	{title: "Two bindings for one user and client", manifest: binding("second", user, cuid, notMine), binding: "second", reason: v1alpha1.ReasonConflict},
	{title: "A binding that is still suspended", manifest: binding("suspended", user, doxd, notMine, "suspend: true"), binding: "suspended", reason: v1alpha1.ReasonSuspended},
	{title: "No Secret of that name", manifest: connectionOf("no-secret", address, "credentials:", "  secretRef:", "    name: delos-credential"), connection: "no-secret", reason: v1alpha1.ReasonSecretNotFound,
		before: "Secret team-a/delos-credential does not exist: create it with the keys login and password, or token"},
	{title: "A Secret with other keys", manifest: connectionOf("wrong-keys", address, "credentials:", "  secretRef:", "    name: wrong-keys"), connection: "wrong-keys", reason: v1alpha1.ReasonSecretInvalid},
	{title: "A wrong password", manifest: connectionOf("wrong-password", address, "credentials:", "  secretRef:", "    name: wrong-password"), connection: "wrong-password", reason: v1alpha1.ReasonLoginRefused},
	{title: "A host that the operator may not call", manifest: connectionOf("host", "url: https://api.example.com", "credentials:", "  secretRef:", "    name: delos-credentials"), connection: "host", reason: v1alpha1.ReasonInvalidSpec},
}
