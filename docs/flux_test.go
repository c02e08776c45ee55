package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"
)

// TestFluxGuide compares, for each recorded status, the result of Flux without and with the expressions of the guide.
// They differ only for suspended objects and dry runs.
func TestFluxGuide(t *testing.T) {
	expressions := fluxExpressions(t)
	recorded, err := filepath.Glob(filepath.Join(root, "config/argocd/access.delos.financial/ClientBinding/testdata/*.yaml"))
	if err != nil || len(recorded) == 0 {
		t.Fatalf("no statuses: %v", err)
	}
	differ := map[string][2]status.Status{}
	for _, path := range recorded {
		object := &unstructured.Unstructured{}
		content, err := os.ReadFile(path)
		if err == nil {
			err = yaml.Unmarshal(content, object)
		}
		if err != nil {
			t.Fatal(err)
		}
		byItself, err := status.Compute(object)
		if err != nil {
			t.Fatal(err)
		}
		if byItself.Status == status.TerminatingStatus { // Flux does not wait for deleted objects
			continue
		}
		if guided := guided(t, expressions, object); guided != byItself.Status {
			differ[filepath.Base(path)] = [2]status.Status{byItself.Status, guided}
		}
	}
	waits := [2]status.Status{status.InProgressStatus, status.CurrentStatus}
	want := map[string][2]status.Status{"suspended.yaml": waits, "dry_run.yaml": waits}
	if diff := cmp.Diff(want, differ); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// fluxExpressions reads the expressions of the guide, by name.
func fluxExpressions(t *testing.T) map[string]cel.Program {
	t.Helper()
	guide, err := os.ReadFile(filepath.Join(root, "docs/gitops.md"))
	if err != nil {
		t.Fatal(err)
	}
	environment, err := cel.NewEnv(cel.Variable("status", cel.DynType))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]cel.Program{}
	for _, match := range regexp.MustCompile(`(?m)^    (failed|current): (status\..*)$`).FindAllStringSubmatch(string(guide), -1) {
		compiled, issues := environment.Compile(match[2])
		if issues.Err() != nil {
			t.Fatal(issues.Err())
		}
		if found[match[1]], err = environment.Program(compiled); err != nil {
			t.Fatal(err)
		}
	}
	if len(found) != 2 {
		t.Fatalf("the guide has %d expressions, want failed and current", len(found))
	}
	return found
}

// guided computes the status as Flux does: the status of an earlier generation does not count, and an object that matches no expression is in
// progress.
func guided(t *testing.T, expressions map[string]cel.Program, object *unstructured.Unstructured) status.Status {
	t.Helper()
	observed, _, err := unstructured.NestedInt64(object.Object, "status", "observedGeneration")
	if err != nil {
		t.Fatal(err)
	}
	if observed != object.GetGeneration() {
		return status.InProgressStatus
	}
	for _, expression := range []struct {
		name string
		is   status.Status
	}{{"failed", status.FailedStatus}, {"current", status.CurrentStatus}} {
		value, _, err := expressions[expression.name].Eval(map[string]any{"status": object.Object["status"]})
		if err != nil {
			t.Fatal(err)
		}
		if value.Value() == true {
			return expression.is
		}
	}
	return status.InProgressStatus
}
