//go:build argocd

package argocd

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

var adopted = flag.Int("adoption.relations", 50, "how many relations TestAdoption imports and delivers")

// Existing access is imported, committed and delivered, and nothing changes on the platform. Then the report finds the planted differences.
func TestAdoption(t *testing.T) {
	t.Parallel()
	const directory = "access"
	n := newTeam(t, "team-adoption")
	for _, user := range sandbox.Existing(*adopted).Users {
		n.Platform.AddUser(user)
	}
	plugin := filepath.Join(t.TempDir(), "kubectl-clientbindings")
	_, err := sandbox.Go(t.Context(), nil, "build", "-buildvcs=false", "-o", plugin, "./cmd/kubectl-clientbindings")
	sandbox.Must(t, err)
	run := func(t *testing.T, arguments ...string) (out string, code int) {
		t.Helper()
		command := exec.CommandContext(t.Context(), plugin, append(arguments, "-n", n.Namespace)...)
		command.Dir, command.Env = n.git.work, append(os.Environ(), "KUBECONFIG="+box.Cluster.Kubeconfig)
		var said bytes.Buffer
		command.Stderr = &said
		text, err := command.Output()
		var ended *exec.ExitError
		if err != nil && !errors.As(err, &ended) || command.ProcessState.ExitCode() > 1 {
			t.Fatalf("%v: %v\n%s%s", arguments, err, text, &said)
		}
		return string(text), command.ProcessState.ExitCode()
	}
	const loopback = "--allowed-api-hosts=127.0.0.1"
	report := func(t *testing.T) (relations int, findings []string, code int) {
		t.Helper()
		out, code := run(t, "report", "--output", "json", loopback)
		relations, findings, err := sandbox.Findings(out)
		sandbox.Must(t, err)
		return relations, findings, code
	}
	step(t, "import, commit, and Argo CD delivers", func(t *testing.T) {
		n.deliverSamples(t, "clientbinding_owner.yaml", "clientbinding_standard.yaml", "clientbinding_explicit.yaml", wrongFile)
		if out, code := run(t, "import", "--directory", directory, loopback); code != 0 {
			t.Fatalf("ended with %d\n%s", code, out)
		}
		revision := n.git.commit(t, "Access as it is")
		application{name: n.Namespace + "-access", url: n.git.url, path: directory}.create(t)
		began := time.Now()
		becomesWithin(t, limit+time.Duration(*adopted)*100*time.Millisecond, n.Namespace+"-access", "Synced", "Healthy", revision)
		t.Logf("%d relations were Synced and Healthy after %s", *adopted, sandbox.Seconds(time.Since(began)))
	})
	step(t, "all are Ready and as declared, and nothing was written", func(t *testing.T) {
		out, code := run(t, "status")
		if want := fmt.Sprintf("%d Ready, 0 causes to look at\n", *adopted+1); code != 0 || out != want {
			t.Errorf("ended with %d, want 0\n%s", code, out)
		}
		if relations, findings, code := report(t); relations != *adopted || findings != nil || code != 0 {
			t.Errorf("ended with %d, want 0: %d relations, %v", code, relations, findings)
		}
		if puts, deletes := n.Platform.Count(delossim.OpRelate), n.Platform.Count(delossim.OpUnrelate); puts+deletes > 0 {
			t.Errorf("%d PUT and %d DELETE", puts, deletes)
		}
	})
	step(t, "three differences are found, and nothing else", func(t *testing.T) {
		want := sandbox.PlantDifferences(n.Platform.Server)
		relations, findings, code := report(t)
		if diff := cmp.Diff(want, findings); diff != "" || code != 1 || relations != *adopted+1 {
			t.Errorf("ended with %d, %d relations; findings (-want +got):\n%s", code, relations, diff)
		}
	})
}
