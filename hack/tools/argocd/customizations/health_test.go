package customizations

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/argoproj/argo-cd/gitops-engine/v3/pkg/health"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/google/go-cmp/cmp"
)

// healthTests is a file health_test.yaml.
type healthTests struct {
	Tests []struct {
		InputPath    string              `json:"inputPath"`
		HealthStatus health.HealthStatus `json:"healthStatus"`
	} `json:"tests"`
}

func TestHealth(t *testing.T) {
	overrides := lua.ResourceHealthOverrides(loadOverrides(t))
	for _, kind := range kinds(t) {
		var file healthTests
		load(t, filepath.Join(kind, "health_test.yaml"), &file)
		tried := map[string]bool{}
		for _, test := range file.Tests {
			tried[filepath.Base(test.InputPath)] = true
			t.Run(filepath.Base(kind)+"/"+test.InputPath, func(t *testing.T) {
				object := loadObject(t, filepath.Join(kind, test.InputPath))
				said, err := overrides.GetResourceHealth(object)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(&test.HealthStatus, said); diff != "" {
					t.Errorf("the script: -want +got:\n%s", diff)
				}

				// The message that users see, also while the object is being deleted.
				seen, err := health.GetResourceHealth(object, overrides)
				if err != nil {
					t.Fatal(err)
				}
				want := &health.HealthStatus{Status: test.HealthStatus.Status, Message: test.HealthStatus.Message}
				if diff := cmp.Diff(want, seen); diff != "" {
					t.Errorf("Argo CD: -want +got:\n%s", diff)
				}
			})
		}
		for _, name := range names(t, filepath.Join(kind, "testdata")) {
			if !tried[name] {
				t.Errorf("%s: health_test.yaml does not try testdata/%s", kind, name)
			}
		}
	}
}

// TestLibrariesAreClosed shows that the test above would fail for a script that only works with all libraries.
func TestLibrariesAreClosed(t *testing.T) {
	overrides := lua.ResourceHealthOverrides(loadOverrides(t))
	for key, override := range overrides {
		override.HealthLua = `return {status = string.format("%s", "Healthy")}`
		overrides[key] = override
	}
	object := loadObject(t, filepath.Join(kinds(t)[0], "testdata", "new.yaml"))
	if said, err := overrides.GetResourceHealth(object); err == nil {
		t.Errorf("a script with string.format says %v", said)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	slices.Sort(found)
	return found
}
