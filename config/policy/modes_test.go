package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// warnings keeps the warnings of answers.
type warnings struct{ texts []string }

// HandleWarningHeader is called for each warning of an answer.
func (w *warnings) HandleWarningHeader(_ int, _, text string) { w.texts = append(w.texts, text) }

// TestModes applies the components that do not refuse.
func TestModes(t *testing.T) {
	for _, test := range []struct {
		component string
		warns     bool
	}{
		{"audit", false},
		{"warn", true},
	} {
		t.Run(test.component, func(t *testing.T) {
			withOverlay(t, overlay(t, "resources: [config/default]\ncomponents: [config/policy/"+test.component+"]"))
			namespace := newNamespace(t)
			newRequester(t, namespace, "other")
			var heard warnings
			other := user{"other", impersonate(t, "other", &heard)}

			of := binding(namespace, "trial", "C-1001", true)
			check(t, other.Create(t.Context(), of.DeepCopy()), "")
			message := fmt.Sprintf(ownerMessage, "C-1001", namespace)
			var want []string
			if test.warns {
				want = []string{fmt.Sprintf("Validation failed for ValidatingAdmissionPolicy '%s' with binding '%[1]s': %s",
					"clientbinding-operator-grants", message)}
			}
			if diff := cmp.Diff(want, heard.texts); diff != "" {
				t.Errorf("warnings: -want +got:\n%s", diff)
			}
			event := audited(t, "create", of)
			if got := event.Annotations["validation.policy.admission.k8s.io/validation_failure"]; !strings.Contains(got, message) {
				t.Errorf("the audit log does not have the failure: %v", event.Annotations)
			}

			// That holds for all of them.
			check(t, other.edit(t, of, orphan), "")
			of.Finalizers = []string{v1alpha1.RevokeFinalizer}
			check(t, other.edit(t, of, `{"metadata":{"finalizers":["access.delos.financial/revoke"]}}`), "")
			check(t, other.edit(t, of, noFinalizers), "")
			actions := &admissionv1.ValidatingAdmissionPolicyBindingList{}
			if err := kube.List(t.Context(), actions); err != nil {
				t.Fatal(err)
			}
			for _, binding := range actions.Items {
				if binding.Name != "zz-canary" && cmp.Equal(binding.Spec.ValidationActions, []admissionv1.ValidationAction{admissionv1.Deny}) {
					t.Errorf("%s refuses", binding.Name)
				}
			}
		})
	}
}
