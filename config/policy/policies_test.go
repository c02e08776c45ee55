package policy_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

func asCRD(manifest *unstructured.Unstructured) (*apiextensionsv1.CustomResourceDefinition, error) {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	return crd, runtime.DefaultUnstructuredConverter.FromUnstructured(manifest.Object, crd)
}

// apply applies manifests as `kubectl apply --server-side --force-conflicts` does.
func apply(ctx context.Context, manifests sandbox.Manifests) error {
	for _, manifest := range manifests {
		err := kube.Apply(ctx, client.ApplyConfigurationFromUnstructured(manifest.DeepCopy()), client.ForceOwnership, client.FieldOwner("test"))
		if err != nil {
			return fmt.Errorf("%s %s: %w", manifest.GetKind(), manifest.GetName(), err)
		}
	}
	return nil
}

// policies are the policies among the manifests, and their bindings.
func policies(manifests sandbox.Manifests) (found sandbox.Manifests) {
	for _, manifest := range manifests {
		if strings.HasPrefix(manifest.GetAPIVersion(), "admissionregistration.k8s.io/") {
			found = append(found, manifest)
		}
	}
	return found
}

// withOverlay applies the policies of a kustomization instead of those of config/default, until the test ends.
func withOverlay(t *testing.T, directory string) {
	t.Helper()
	changed, err := sandbox.Render(t.Context(), directory)
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := sandbox.Render(t.Context(), "config/default")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		added := slices.DeleteFunc(policies(changed), func(object *unstructured.Unstructured) bool {
			return slices.ContainsFunc(shipped, func(is *unstructured.Unstructured) bool {
				return is.GetKind() == object.GetKind() && is.GetName() == object.GetName()
			})
		})
		for _, object := range added {
			if err := kube.Delete(ctx, object); err != nil {
				t.Error(err)
			}
		}
		if err := errors.Join(apply(ctx, policies(shipped)), inForce(ctx)); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(apply(t.Context(), policies(changed)), inForce(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// overlay is a directory with a kustomization that changes config/default.
func overlay(t *testing.T, content string) string {
	t.Helper()
	directory, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	config, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	config, err = filepath.Rel(directory, config)
	if err != nil {
		t.Fatal(err)
	}
	content = strings.ReplaceAll(content, "config/", config+"/")
	if err := os.WriteFile(filepath.Join(directory, "kustomization.yaml"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return directory
}

// poll repeats a look until it finds no problem, and returns the last one as an error when that takes too long.
func poll(ctx context.Context, problem func() string) error {
	last := ""
	err := wait.PollUntilContextTimeout(ctx, pollEvery, pollLimit, true, func(context.Context) (bool, error) {
		last = problem()
		return last == "", nil
	})
	if err != nil && last != "" {
		return errors.New(last)
	}
	return err
}

// withoutMutation disables a mutating policy, until the test ends.
func withoutMutation(t *testing.T, policy string) {
	t.Helper()
	withOverlay(t, overlay(t, `
resources: [config/default]
patches:
- target: {kind: MutatingAdmissionPolicyBinding, name: clientbinding-operator-`+policy+`}
  patch: |-
    - {op: add, path: /spec/matchResources, value: {namespaceSelector: {matchLabels: {no: such}}}}
`))
}
