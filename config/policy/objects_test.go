package policy_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// parse reads YAML into a part of an object.
func parse(t *testing.T, content string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(content), into); err != nil {
		t.Fatalf("%v in:\n%s", err, content)
	}
}

// applyConfiguration is an object as somebody applies it: without status, and without what the API server sets.
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
