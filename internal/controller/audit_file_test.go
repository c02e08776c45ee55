package controller

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus/testutil"
	ctrl "sigs.k8s.io/controller-runtime"
)

// auditedIn returns action and outcome of each line of an audit file.
func auditedIn(t *testing.T, path string) (lines []string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for text := range bytes.Lines(content) {
		var line struct {
			TS, Action, Outcome string
			Audit               bool
		}
		if err := json.Unmarshal(text, &line); err != nil || !line.Audit || line.TS == "" {
			t.Fatalf("%q is no audit line (%v)", text, err)
		}
		lines = append(lines, line.Action+" "+line.Outcome)
	}
	return lines
}

// A file takes the audit lines, and a new one does after it was renamed. While it cannot be written, the lines are errors of the log, and
// what takes access away goes on.
func TestAuditFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	w := newWorld(t)
	w.connect()
	file, err := OpenAuditFile(path, w.clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	w.reconciler.Audit = file
	mode, err := os.Stat(path)
	if err != nil || mode.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", mode, err)
	}
	w.bind(nil)
	if logged := w.audited(); len(logged) > 0 {
		t.Errorf("the log has audit lines, too: %v", logged)
	}
	renamed := path + ".1"
	if err := os.Rename(path, renamed); err != nil {
		t.Fatal(err)
	}
	binding := w.binding()
	w.edit(binding, func() { binding.Spec.IsOwner = true })
	w.reconcile()
	expectEqual(t, "before it was renamed", []string{"grant intended", "grant accepted"}, auditedIn(t, renamed))
	expectEqual(t, "after it was renamed", []string{"promote intended", "promote accepted"}, auditedIn(t, path))

	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	w.delete()
	var logged []string
	for _, line := range w.audited() {
		if text, _ := line["error"].(string); strings.Contains(text, "no such file") {
			logged = append(logged, line["action"].(string)+" "+line["outcome"].(string))
		}
	}
	expectEqual(t, "the log", []string{"revoke intended", "revoke accepted"}, logged)
	if count, err := testutil.GatherAndCount(w.registry, "clientbinding_audit_failures_total"); err != nil || count != 1 {
		t.Errorf("%d metrics, %v", count, err)
	}
	if !w.gone() {
		t.Error("the binding is still there")
	}
}

// A line that was cut short by a full disk does not spoil the next one.
func TestAuditFileAfterATornLine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	file, err := OpenAuditFile(path, clockwork.NewFakeClockAt(start).Now)
	if err != nil {
		t.Fatal(err)
	}
	file.torn = true
	if err := file.write([]any{"audit", true}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	expectEqual(t, "file", "\n"+`{"ts":"2026-03-01T12:00:00Z","audit":true}`+"\n", string(content))
}

func TestAuditFileThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	for path, want := range map[string]string{
		directory:                             directory + " is not a regular file",
		filepath.Join(directory, "no", "log"): "open " + filepath.Join(directory, "no", "log") + ": no such file or directory",
	} {
		_, err := OpenAuditFile(path, clockwork.NewFakeClockAt(start).Now)
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}

// Each change of Ready is one line, and so is what was let go; a look that finds nothing new is none.
func TestLogOfABinding(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	logged := func() (lines []string) {
		logger := funcr.NewJSON(func(text string) {
			var line map[string]any
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatal(err)
			}
			if line["audit"] != true {
				lines = append(lines, strings.TrimSpace(strings.Join([]string{line["msg"].(string), textOf(line["ready"]), textOf(line["before"]), "->", textOf(line["reason"]), textOf(line["binding"])}, " ")))
			}
		}, funcr.Options{})
		w.reconcileUsage()
		if _, err := w.lookWith(ctrl.LoggerInto(t.Context(), logger), w.request("john").NamespacedName); err != nil {
			t.Fatal(err)
		}
		return lines
	}
	name := w.namespace + "/john"
	if diff := cmp.Diff([]string{"Ready changed True  -> Bound " + name}, logged()); diff != "" {
		t.Errorf("a grant (-want +got):\n%s", diff)
	}
	if lines := logged(); len(lines) > 0 {
		t.Errorf("nothing new: %q", lines)
	}
	w.delete()
	if diff := cmp.Diff([]string{"let go   -> Revoked " + name}, logged()); diff != "" {
		t.Errorf("a deletion (-want +got):\n%s", diff)
	}
}

func textOf(value any) string {
	text, _ := value.(string)
	return text
}
