package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// text formats manifests for kubectl.
func text(t *testing.T, manifests sandbox.Manifests) string {
	t.Helper()
	var documents strings.Builder
	for _, object := range manifests {
		if err := json.NewEncoder(&documents).Encode(object); err != nil {
			t.Fatal(err)
		}
	}
	return documents.String()
}

// live reads the current object.
func live(t *testing.T, of *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(of.GroupVersionKind())
	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(of), object); err != nil {
		t.Fatal(err)
	}
	return object
}

// looked reports whether the operator has finished with the current generation.
func looked(t *testing.T, object *unstructured.Unstructured) bool {
	t.Helper()
	conditions, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
	if err != nil {
		t.Fatal(err)
	}
	for _, condition := range conditions {
		if c := condition.(map[string]any); c["type"] == v1alpha1.ConditionReady {
			return c["observedGeneration"] == object.GetGeneration()
		}
	}
	return false
}

// ours reports whether an object is of one of the operator's kinds.
func ours(object *unstructured.Unstructured) bool {
	return object.GroupVersionKind().Group == v1alpha1.GroupVersion.Group
}

// statusOf is the status of an object by kstatus, as Flux uses it.
func statusOf(t *testing.T, of *unstructured.Unstructured) string {
	t.Helper()
	result, err := status.Compute(live(t, of))
	if err != nil {
		t.Fatal(err)
	}
	return string(result.Status)
}

// The operator does not change the samples: after its work, another apply in any mode
// changes nothing, and the operator owns no field of a spec.
func TestSamplesStayAsTheyAreInGit(t *testing.T) {
	underDeployedOperator(t)
	for name, flags := range map[string][]string{"client-side": nil, "server-side": {"--server-side"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newTenant(t, delossim.Examples())
			samples := n.Samples(t)
			input := text(t, samples)
			if _, err := cluster.Kubectl(t.Context(), input, append([]string{"apply", "-f", "-"}, flags...)...); err != nil {
				t.Fatal(err)
			}
			sandbox.Within(t, 20*time.Second, func() string {
				for _, sample := range samples {
					object := live(t, sample)
					if !ours(sample) {
						continue
					}
					if !looked(t, object) {
						return object.GetName() + " was not looked at"
					}
					if sample.GetKind() != "ClientBinding" || object.GetName() == wrong {
						continue
					}
					if problem := n.Unbound(t, object.GetName()); problem != "" {
						return problem
					}
				}
				return ""
			})

			// It ends with an error if there is a difference.
			if out, err := cluster.Kubectl(t.Context(), input, append([]string{"diff", "-f", "-"}, flags...)...); err != nil {
				t.Errorf("applying again would change: %v\n%s", err, out)
			}
			for _, sample := range samples {
				object := live(t, sample)
				if !ours(sample) {
					continue
				}
				if problem := sandbox.SpecWritten(object); problem != "" {
					t.Error(problem)
				}
			}
		})
	}
}

// wrong is the sample that is wrong on purpose.
const wrong = "nobody-uses-cust-789xyz"

// A Flux Kustomization with `wait: true` needs no setup. By the library that it uses, samples are in
// progress until their access was read back, the wrong sample never becomes current, and a deleted object stays until
// its access is gone.
func TestFluxWaitsForTheAccess(t *testing.T) {
	underDeployedOperator(t)
	config := delossim.Examples()
	config.Settings.Lag = time.Second
	n := newTenant(t, config)
	var bindings sandbox.Manifests
	for _, sample := range n.Samples(t) {
		// As Flux does.
		if err := kube.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(sample.DeepCopy()), client.FieldOwner("kustomize-controller"), client.ForceOwnership); err != nil {
			t.Fatal(err)
		}
		if sample.GetKind() == "ClientBinding" {
			bindings = append(bindings, sample)
		}
		if sample.GetKind() == "APIConnection" {
			sandbox.Within(t, 20*time.Second, func() string { return not("Current", statusOf(t, sample)) })
		}
	}
	sandbox.Within(t, 20*time.Second, func() string {
		for _, binding := range bindings {
			if binding.GetName() == wrong {
				continue
			}
			computed := statusOf(t, binding)
			if problem := n.Unbound(t, binding.GetName()); computed == "Current" && problem != "" {
				t.Fatalf("Flux would be done, but %s", problem)
			}
			if problem := not("Current", computed); problem != "" {
				return binding.GetName() + ": " + problem
			}
		}
		return ""
	})
	for _, binding := range bindings {
		if binding.GetName() != wrong {
			continue
		}
		if computed := statusOf(t, binding); computed != "InProgress" && computed != "Failed" {
			t.Errorf("Flux takes a binding of an unknown user for %s", computed)
		}
	}

	leaving := bindings[0]
	if err := kube.Delete(t.Context(), leaving.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	if computed := statusOf(t, leaving); computed != "Terminating" {
		t.Errorf("a binding that is being revoked is %s", computed)
	}
	sandbox.Within(t, 20*time.Second, func() string { return n.gone(t, leaving.GetName()) })
}

func not(want, got string) string {
	if want == got {
		return ""
	}
	return "it is " + got + ", not " + want
}
