package v1alpha1_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/apiservertest"
)

var crds = filepath.Join("..", "..", "config", "crd", "bases")

const (
	namespace = "default"
	operator  = "clientbinding-operator" // as a field manager
)

// The API server of all tests of this package.
var (
	kube    client.Client // refuses unknown fields, as kubectl does
	cluster *rest.Config
)

func TestMain(m *testing.M) {
	environment := &envtest.Environment{CRDDirectoryPaths: []string{crds}, ErrorIfCRDPathMissing: true}
	os.Exit(apiservertest.Run(m, environment, func(config *rest.Config) error {
		scheme := runtime.NewScheme()
		if err := v1alpha1.AddToScheme(scheme); err != nil {
			return err
		}
		strict, err := client.New(config, client.Options{Scheme: scheme})
		if err != nil {
			return err
		}
		cluster, kube = config, client.WithFieldValidation(strict, "Strict")
		return nil
	}))
}

// object is what a person typed: a kind, and a spec as YAML. It is not made through the Go types,
// which would add the fields that were left out.
func object(t *testing.T, kind, name, spec string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{"spec": parse(t, spec)}}
	o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

// parse reads whole numbers as such, as the API server's answers do.
func parse(t *testing.T, content string) map[string]any {
	t.Helper()
	parsed := map[string]any{}
	encoded, err := yaml.YAMLToJSON([]byte(content))
	if err == nil {
		err = json.Unmarshal(encoded, &parsed)
	}
	if err != nil {
		t.Fatalf("%v in:\n%s", err, content)
	}
	return parsed
}

// create makes an object that lasts as long as the test.
func create(t *testing.T, o client.Object) {
	t.Helper()
	if err := kube.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	deleteAfter(t, o)
}

// deleteAfter deletes an object when the test ends, in spite of finalizers.
func deleteAfter(t *testing.T, o client.Object) {
	t.Cleanup(func() {
		ctx := context.Background()
		free := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
		err := errors.Join(
			client.IgnoreNotFound(kube.Patch(ctx, o, free)),
			client.IgnoreNotFound(kube.Delete(ctx, o)),
		)
		if err != nil {
			t.Error(err)
		}
	})
}

// get reads the object that another one names.
func get(t *testing.T, named, into client.Object) {
	t.Helper()
	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(named), into); err != nil {
		t.Fatal(err)
	}
}

// reportReady writes the status of an object that is as declared, the way the operator does: through
// the Go types, with a patch of nothing else.
func reportReady(t *testing.T, named client.Object, kind string) {
	t.Helper()
	condition := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, ObservedGeneration: 1, LastTransitionTime: metav1.Unix(0, 0),
	}
	var before, after client.Object
	switch kind {
	case "ClientBinding":
		binding := &v1alpha1.ClientBinding{}
		get(t, named, binding)
		before = binding.DeepCopy()
		condition.Reason = v1alpha1.ReasonBound
		binding.Status.ObservedGeneration, binding.Status.Conditions = 1, []metav1.Condition{condition}
		binding.Status.Access = v1alpha1.AccessOwner
		after = binding
	case "APIConnection":
		connection := &v1alpha1.APIConnection{}
		get(t, named, connection)
		before = connection.DeepCopy()
		condition.Reason = v1alpha1.ReasonLoggedIn
		connection.Status.ObservedGeneration, connection.Status.Conditions = 1, []metav1.Condition{condition}
		after = connection
	default:
		t.Fatalf("no such kind: %s", kind)
	}
	if err := kube.Status().Patch(t.Context(), after, client.MergeFrom(before), client.FieldOwner(operator)); err != nil {
		t.Fatal(err)
	}
}
