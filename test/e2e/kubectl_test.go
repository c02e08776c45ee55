package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const kubectlHead = `# What kubectl shows

A test runs these commands with the real kubectl, a real API server, the operator and a simulated platform, and writes this page (` + "`TestKubectl`" + ` in
[test/e2e](../test/e2e/kubectl_test.go)). Ages and addresses are replaced. ` + "`cb` and `apiconn`" + ` are the short names of clientbindings and apiconnections.
Lines are broken as in a terminal of 160 columns, or of 80 if the title says so.
`

// looks are the commands of the page, in this order.
var looks = []struct {
	title, command string
	// width of the terminal; 160 when 0.
	width int
	// fits says that no line may be longer than that.
	fits bool
}{
	{title: "All objects of a namespace", command: "kubectl get cb,apiconn -n team-k"},
	{title: "The bindings in a terminal of 80 columns", command: "kubectl get cb -n team-k", width: 80, fits: true},
	{title: "The connections in a terminal of 80 columns", command: "kubectl get apiconn -n team-k", width: 80, fits: true},
	{title: "The user, client and message of each binding", command: "kubectl get cb -n team-k -o wide"},
	{title: "The message of a connection", command: "kubectl get apiconn -n team-k -o wide"},
	{title: "Only the message", command: `kubectl get cb nobody-uses-acme -n team-k -o jsonpath={.status.conditions[?(@.type=="Ready")].message}`, width: 80},
	{title: "The owners of a client", command: "kubectl get cb -A -o wide --field-selector spec.cuid=PtzcKoFV-7mXq-aLeWUyrtqVD,spec.isOwner=true"},
	{title: "The access of a user", command: "kubectl get cb -A -o wide --field-selector spec.userUUID=7c1f0e52-1b7d-4c38-9a53-0d4f6be2a9d1"},
	{title: "Wait until access is there", command: "kubectl wait cb/maria-garcia-owns-acme -n team-k --for=condition=Ready --timeout=30s", width: 80},
	{title: "Wait for an object that cannot become Ready by itself", command: "kubectl wait cb/nobody-uses-acme -n team-k --for=condition=Reconciling --timeout=30s", width: 80},
	{title: "Delete, and wait until the access is gone", command: "kubectl delete cb maria-garcia-owns-acme -n team-k --timeout=30s", width: 80},
}

// TestKubectl compares the output of kubectl with docs/kubectl.md.
func TestKubectl(t *testing.T) {
	underDeployedOperator(t)
	const maria, cuid = "7c1f0e52-1b7d-4c38-9a53-0d4f6be2a9d1", "PtzcKoFV-7mXq-aLeWUyrtqVD"
	n := &tenant{box.NewTenant(t, "team-k", delossim.Config{
		Users: []delossim.User{{UUID: maria, Username: "maria.garcia"}}, Clients: []string{cuid},
	})}
	create(t, n.Secret(secretName, account))
	connection := n.Connection(v1alpha1.DefaultConnectionName, n.Platform.URL, secretName)
	create(t, connection)
	granted := n.Binding("maria-garcia-owns-acme", maria, cuid, true)
	granted.Spec.ExpiresAt = &metav1.Time{Time: time.Date(2126, 12, 31, 17, 0, 0, 0, time.UTC)}
	create(t, granted)
	create(t, n.Binding("nobody-uses-acme", "user_abc123deg", cuid, false))
	sandbox.Within(t, 30*time.Second, func() string {
		return sandbox.First(
			n.says(t, "maria-garcia-owns-acme", metav1.ConditionTrue, v1alpha1.ReasonBound),
			n.says(t, "nobody-uses-acme", metav1.ConditionFalse, v1alpha1.ReasonUserNotFound),
			n.inUse(t, 2),
		)
	})
	seen := n.watch(t)

	var page strings.Builder
	page.WriteString(kubectlHead)
	for _, look := range looks {
		said, err := cluster.Kubectl(t.Context(), "", strings.Fields(look.command)[1:]...)
		if err != nil {
			t.Fatal(err)
		}
		width := look.width
		if width == 0 {
			width = 160
		}
		shown := n.steady(said)
		wrapped := wrap(shown, width)
		if look.fits && wrapped != shown {
			t.Errorf("%s does not fit into %d columns:\n%s", look.command, width, wrapped)
		}
		command := regexp.MustCompile(`(jsonpath=)(\S+)`).ReplaceAllString(look.command, "$1'$2'")
		fmt.Fprintf(&page, "\n## %s\n\n```sh\n%s\n```\n\n```text\n%s\n```\n", look.title, command, wrapped)
	}
	page.WriteString("\n## Watch changes\n\n```sh\nkubectl get cb -n team-k -w\n```\n\nkubectl prints a line for each change of an object, until you press Ctrl-C.\n")
	comparePage(t, "docs/kubectl.md", page.String())

	sandbox.Within(t, 10*time.Second, func() string {
		if lines := strings.Count(seen(), "\nmaria-garcia-owns-acme "); lines < 2 {
			return fmt.Sprintf("kubectl get -w has told %d lines of the binding that was deleted:\n%s", lines, seen())
		}
		return ""
	})
}

// inUse says that the connection does not count so many bindings yet; "" when it does.
func (n *tenant) inUse(t *testing.T, bindings int32) string {
	t.Helper()
	connection := &v1alpha1.APIConnection{}
	n.get(t, v1alpha1.DefaultConnectionName, connection)
	if count := ptr.Deref(connection.Status.Bindings, 0); count != bindings {
		return fmt.Sprintf("the connection counts %d bindings", count)
	}
	return ""
}

// steady replaces the address and the ages, which differ each time, and keeps the columns.
func (n *tenant) steady(said string) string {
	said = strings.ReplaceAll(said, strings.TrimPrefix(n.Platform.URL, "http://"), "127.0.0.1:38080")
	said = regexp.MustCompile(`( )[0-9]{1,2}s( {2,}|\n)`).ReplaceAllStringFunc(said, func(age string) string {
		end := strings.TrimLeft(age, " 0123456789s")
		return " 5s" + strings.Repeat(" ", len(age)-3-len(end)) + end
	})
	lines := strings.Split(strings.TrimRight(said, "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n")
}

// wrap breaks lines as a terminal does.
func wrap(text string, width int) string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		for len(line) > width {
			lines = append(lines, strings.TrimRight(line[:width], " "))
			line = line[width:]
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// watch runs `kubectl get cb -w` until the test ends, and returns its output until now.
func (n *tenant) watch(t *testing.T) func() string {
	t.Helper()
	var mu sync.Mutex
	var told bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	command := exec.CommandContext(ctx, filepath.Join(cluster.Assets, "kubectl"), "get", "cb", "-n", n.Namespace, "-w")
	command.Env = append(os.Environ(), "KUBECONFIG="+cluster.Kubeconfig)
	command.Stdout = writer(func(text []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return told.Write(text)
	})
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = command.Wait() // it was killed
	})
	seen := func() string {
		mu.Lock()
		defer mu.Unlock()
		return "\n" + told.String()
	}
	sandbox.Within(t, 10*time.Second, func() string {
		if !strings.Contains(seen(), "\nmaria-garcia-owns-acme ") {
			return "kubectl get -w tells nothing"
		}
		return ""
	})
	return seen
}

type writer func([]byte) (int, error)

func (w writer) Write(text []byte) (int, error) { return w(text) }
