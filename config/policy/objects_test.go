package policy_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// parse reads YAML into a part of an object.
func parse(t *testing.T, content string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(content), into); err != nil {
		t.Fatalf("%v in:\n%s", err, content)
	}
}

// applyConfiguration is an object as a person applies it: without status, and without what the API server sets.
func applyConfiguration(t *testing.T, object client.Object) runtime.ApplyConfiguration {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	delete(content, "status")
	applied := &unstructured.Unstructured{Object: content}
	for _, field := range []string{"resourceVersion", "uid", "generation", "managedFields", "creationTimestamp"} {
		unstructured.RemoveNestedField(content, "metadata", field)
	}
	return client.ApplyConfigurationFromUnstructured(applied)
}

func key(of client.Object) client.ObjectKey { return client.ObjectKeyFromObject(of) }

// statusPatch is a merge patch of the status.
func statusPatch(status string) client.Patch {
	return client.RawPatch(types.MergePatchType, []byte(`{"status":`+status+`}`))
}

// applied is a manifest, which can have null values, unlike a Go type.
func applied(namespace, name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(),
		"kind":       "ClientBinding",
		"metadata":   map[string]any{"namespace": namespace, "name": name},
		"spec":       map[string]any{"userUUID": "user_abc123def", "cuid": "C-1001", "isOwner": true},
	}}
}
