package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

var (
	update    = flag.Bool("update", false, "write the outputs into docs/adopting.md")
	adopted   = flag.Int("adopting.relations", 50, "how many relations TestAdopting imports; the outputs of the page are compared only with 50")
	documents = "adopting.md"
)

// walkthrough runs docs/adopting.md.
type walkthrough struct {
	directory   string
	environment []string
	address     string
}

// run runs a block and returns its output, as on the page. Progress goes to stderr.
func (w *walkthrough) run(ctx context.Context, script string) (out string, code int, err error) {
	command := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", strings.ReplaceAll(script, "127.0.0.1:8080", w.address))
	command.Dir, command.Env = w.directory, w.environment
	var said bytes.Buffer
	command.Stderr = &said
	text, err := command.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		code, err = failed.ExitCode(), nil
	}
	if code > 1 {
		err = fmt.Errorf("exit code %d: %s", code, said.String())
	}
	shown := strings.ReplaceAll(string(text), w.address, "127.0.0.1:8080")
	return regexp.MustCompile(`Looked at [-0-9T:]+Z`).ReplaceAllString(shown, "Looked at 2026-11-27T09:30:00Z"), code, err
}

// follow starts a platform, and creates the objects that the page requires.
func follow(t *testing.T) (*delossim.Server, *walkthrough) {
	t.Helper()
	config := sandbox.Existing(*adopted)
	config.Accounts = []delossim.Account{account}
	platform, err := box.StartSimulator(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = platform.Stop() })
	binaries, home := t.TempDir(), t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", filepath.Join(binaries, "plugin"), "./cmd/kubectl-clientbindings")
	build.Dir = root(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// status asks no API, and has no such flag.
	wrapper := fmt.Sprintf("#!/bin/bash\n[ \"$1\" = status ] && exec %[1]s/plugin \"$@\"\nexec %[1]s/plugin \"$@\" --allowed-api-hosts=127.0.0.1\n", binaries)
	if err := os.WriteFile(filepath.Join(binaries, "kubectl-clientbindings"), []byte(wrapper), 0o700); err != nil {
		t.Fatal(err)
	}
	w := &walkthrough{
		directory: t.TempDir(),
		address:   strings.TrimPrefix(platform.URL, "http://"),
		environment: []string{
			"KUBECONFIG=" + cluster.Kubeconfig, "HOME=" + home,
			"PATH=" + strings.Join([]string{binaries, os.Getenv("KUBEBUILDER_ASSETS"), os.Getenv("PATH")}, string(os.PathListSeparator)),
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
		},
	}
	credentials := "login=" + account.Login + "\npassword=" + account.Password + "\n"
	if err := os.WriteFile(filepath.Join(w.directory, "credentials.env"), []byte(credentials), 0o600); err != nil {
		t.Fatal(err)
	}
	return platform.Server, w
}

// TestAdopting follows docs/adopting.md from beginning to end, and compares the outputs. Nothing changes on the platform. Then
// it plants three differences, and the report finds exactly these.
func TestAdopting(t *testing.T) {
	runAlone(t) // its reports count the ClientBindings of all namespaces
	platform, w := follow(t)
	path := filepath.Join(root(t), "docs", documents)
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	manifest := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(page)[1]
	if err := os.WriteFile(filepath.Join(w.directory, "connection.yaml"), bytes.ReplaceAll(manifest, []byte("127.0.0.1:8080"), []byte(w.address)), 0o600); err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```sh\n(.*?)```\n\n```text\n(.*?)```")
	made := block.ReplaceAllStringFunc(string(page), func(found string) string {
		script := block.FindStringSubmatch(found)[1]
		out, code, err := w.run(t.Context(), script)
		if err != nil || code != 0 {
			t.Fatalf("%s\nended with %d, %v\n%s", script, code, err, out)
		}
		return "```sh\n" + script + "```\n\n```text\n" + out + "```"
	})
	if *update {
		if err := os.WriteFile(path, []byte(made), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if *adopted == 50 {
		if diff := cmp.Diff(string(page), made); diff != "" {
			t.Errorf("docs/%s shows something else than there is; -args -update writes it (-page +now):\n%s", documents, diff)
		}
	}
	if changes := platform.Count(delossim.OpRelate) + platform.Count(delossim.OpUnrelate); changes > 0 {
		t.Errorf("%d calls changed access", changes)
	}

	want := sandbox.PlantDifferences(platform)
	out, code, err := w.run(t.Context(), "kubectl clientbindings report -n access --output json")
	if err != nil || code != 1 {
		t.Fatalf("ended with %d, %v", code, err)
	}
	relations, found, err := sandbox.Findings(out)
	if diff := cmp.Diff(want, found); diff != "" || err != nil {
		t.Errorf("findings (-want +got): %v\n%s", err, diff)
	}
	if relations != *adopted+1 {
		t.Errorf("%d relations are in the report, want %d", relations, *adopted+1)
	}
}
