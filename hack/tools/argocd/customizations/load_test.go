package customizations

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	argo "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const config = "../../../../config/argocd"

// kinds are the directories that have scripts.
func kinds(t *testing.T) []string {
	t.Helper()
	scripts, err := filepath.Glob(filepath.Join(config, "*", "*", "health.lua"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("found no scripts (%v)", err)
	}
	var found []string
	for _, script := range scripts {
		found = append(found, filepath.Dir(script))
	}
	return found
}

// loadOverrides reads the generated patch as Argo CD reads its ConfigMap.
func loadOverrides(t *testing.T) map[string]argo.ResourceOverride {
	t.Helper()
	var patch corev1.ConfigMap
	load(t, filepath.Join(config, "argocd-cm.yaml"), &patch)
	overrides := map[string]argo.ResourceOverride{}
	for key, text := range patch.Data {
		parts := strings.SplitN(key, ".", 4)
		if len(parts) != 4 || parts[0]+"."+parts[1] != "resource.customizations" {
			t.Fatalf("Argo CD does not know the key %s", key)
		}
		kind := strings.Replace(parts[3], "_", "/", 1)
		override := overrides[kind]
		switch parts[2] {
		case "health":
			override.HealthLua = text
		case "actions":
			override.Actions = text
		default:
			t.Fatalf("Argo CD does not know the key %s", key)
		}
		overrides[kind] = override
	}
	if len(overrides) != len(kinds(t)) {
		t.Fatalf("the patch is about %d kinds", len(overrides))
	}
	return overrides
}

func loadObject(t *testing.T, path string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	load(t, path, &object.Object)
	return object
}

func load(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
