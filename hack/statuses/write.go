package main

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// write puts an object where the tests of its kind look for it.
func write(s scene, object *unstructured.Unstructured) error {
	// Who wrote which field is of no use there.
	object.SetManagedFields(nil)
	text, err := yaml.Marshal(object.Object)
	if err != nil {
		return err
	}
	path := filepath.Join("config", "argocd", v1alpha1.GroupVersion.Group, s.kind, "testdata", s.file+".yaml")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	fmt.Println(path)
	return os.WriteFile(path, text, 0o644)
}
