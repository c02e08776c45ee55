package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// notRunHere counts the blocks of commands of each page that say that they are not run by this package. Those that are run in test/cluster are run there by
// TestInstallPage; the others say why nothing runs them.
var notRunHere = map[string]map[string]int{
	"README.md":           {"not run here": 2, "run in test/cluster": 1},
	"docs/get-started.md": {"not run here": 2},
	"docs/install.md":     {"not run here": 1, "run in test/cluster": 11},
}

// commandBlock is a block of commands, with the comment before it and the output after it, if there are.
var commandBlock = regexp.MustCompile("(?ms)(?:^ *<!-- (not run here|run in test/cluster): [^\n]+ -->\n)?^ *```sh\n(.*?)^ *```\n(?:\n```text\n(.*?)^```\n)?")

// TestEveryCommandIsRun: on these pages each block of commands is run by a test, or says why it is not.
func TestEveryCommandIsRun(t *testing.T) {
	t.Parallel()
	got := map[string]map[string]int{}
	for page := range notRunHere {
		got[page] = map[string]int{}
		for _, block := range commandBlock.FindAllStringSubmatch(pageText(t, page), -1) {
			if block[1] != "" {
				got[page][block[1]]++
			} else if page == "docs/install.md" {
				t.Errorf("%s has a block that says nothing of where it is run:\n%s", page, block[2])
			}
		}
	}
	if diff := cmp.Diff(notRunHere, got); diff != "" {
		t.Errorf("blocks that are not run here (-want +got):\n%s", diff)
	}
}

func pageText(t *testing.T, page string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root(t), page))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestReadme types the first binding of README.md, with the roles that it names and no others.
func TestReadme(t *testing.T) {
	underDeployedOperator(t)
	n := newTenant(t, delossim.Examples())
	n.Platform.AddAccount(successor) // whose credentials are in the files login and password
	special["kubectl create rolebinding"].before(t, n)
	asWhom := regexp.MustCompile(`^# as ([a-z -]+) in (team-a|all namespaces)\n`)
	ran := 0
	for _, block := range commandBlock.FindAllStringSubmatch(pageText(t, "README.md"), -1) {
		if block[1] != "" {
			continue
		}
		who := asWhom.FindStringSubmatch(block[2])
		if who == nil {
			t.Fatalf("the first line of a block has to say as whom, as in %q:\n%s", "# as view in team-a", block[2])
		}
		script := strings.NewReplacer("team-a", n.Namespace, "https://stagep.tst-apidmndelss.com", n.Platform.URL).Replace(block[2])
		t.Run(fmt.Sprint(ran), func(t *testing.T) {
			n.play(t, procedure{"README", strings.Split(who[1], " and "), strings.ReplaceAll(who[2], "team-a", "NS"), script})
		})
		ran++
	}
	if ran != 2 {
		t.Errorf("ran %d blocks of README.md, want 2", ran)
	}
	if problem := n.Unbound(t, "john-owns-cust-789xyz"); problem != "" {
		t.Error(problem)
	}
	n.Delete(t, n.Binding("john-owns-cust-789xyz", "", "", false))
	sandbox.Within(t, 20*time.Second, func() string { return n.gone(t, "john-owns-cust-789xyz") })
}

// TestGetStarted follows docs/get-started.md on the samples, as the demo shows them, and compares what is printed.
func TestGetStarted(t *testing.T) {
	runAlone(t) // its reports count the ClientBindings of all namespaces
	const page = "docs/get-started.md"
	config := delossim.Examples()
	config.Settings = delossim.Settings{Lag: time.Second} // as in the demo, a write shows later
	n := newTenant(t, config)
	for _, sample := range n.Samples(t) {
		if sample.GetKind() != "Namespace" && sample.GetKind() != "RoleBinding" {
			create(t, sample)
		}
	}
	for _, name := range []string{"john-owns-cust-789xyz", "maria-owns-doxdeev", "maria-uses-cust-789xyz"} {
		sandbox.Within(t, 20*time.Second, func() string { return n.Unbound(t, name) })
	}
	directory := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", directory, "./cmd/kubectl-clientbindings")
	build.Dir = root(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	environment := append(os.Environ(), "KUBECONFIG="+cluster.Kubeconfig, "ADMIN="+n.Platform.AdminURL, "HOME="+directory,
		"PATH="+strings.Join([]string{directory, cluster.Assets, os.Getenv("PATH")}, string(os.PathListSeparator)))
	text := pageText(t, page)
	made := commandBlock.ReplaceAllStringFunc(text, func(found string) string {
		block := commandBlock.FindStringSubmatch(found)
		if block[1] != "" {
			return found
		}
		command := exec.CommandContext(t.Context(), "bash", "-c", strings.ReplaceAll(block[2], "team-a", n.Namespace))
		command.Dir, command.Env = directory, environment
		out, err := command.CombinedOutput()
		var failed *exec.ExitError
		// What fails on purpose is on the page with what it says.
		if err != nil && (!errors.As(err, &failed) || failed.ExitCode() != 1) {
			t.Fatalf("%s: %v\n%s", block[2], err, out)
		}
		shown := strings.NewReplacer(n.Namespace, "team-a", strings.TrimPrefix(n.Platform.URL, "http://"), "127.0.0.1:8080").Replace(string(out))
		shown = regexp.MustCompile(`Looked at [-0-9T:]+Z`).ReplaceAllString(shown, "Looked at 2026-11-27T09:30:00Z")
		shown = regexp.MustCompile(`(?m) \d+m?\d*s$`).ReplaceAllString(shown, " 10s") // the column AGE
		return "```sh\n" + block[2] + "```\n\n```text\n" + shown + "```\n"
	})
	if *update {
		if err := os.WriteFile(filepath.Join(root(t), page), []byte(made), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(text, made); diff != "" {
		t.Errorf("%s shows something else than there is; -args -update writes it (-page +now):\n%s", page, diff)
	}
	for _, name := range []string{"john-owns-cust-789xyz", "maria-owns-doxdeev", "maria-uses-cust-789xyz", "nobody-uses-cust-789xyz"} {
		n.Delete(t, n.Binding(name, "", "", false))
		sandbox.Within(t, 20*time.Second, func() string { return n.gone(t, name) })
	}
}

// TestExamplesAreAccepted sends each manifest of these pages to the API server, which does as if it made it.
func TestExamplesAreAccepted(t *testing.T) {
	underDeployedOperator(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "examples-"}}
	create(t, namespace)
	manifest := regexp.MustCompile("(?ms)^```yaml\n(apiVersion: .*?)^```$")
	found := 0
	for _, page := range []string{"docs/clientbinding.md", "docs/apiconnection.md", "docs/security.md"} {
		for _, block := range manifest.FindAllStringSubmatch(pageText(t, page), -1) {
			if strings.Contains(block[1], "kind: Kustomization") {
				continue
			}
			found++
			in := regexp.MustCompile(`(?m)^  namespace: team-a$`).ReplaceAllString(block[1], "  namespace: "+namespace.Name)
			if out, err := cluster.Kubectl(t.Context(), in, "create", "--dry-run=server", "-f", "-"); err != nil {
				t.Errorf("%s: %v\n%s\n%s", page, err, out, block[1])
			}
		}
	}
	if found < 8 {
		t.Errorf("found %d manifests", found)
	}
}
