package policy_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// inForce waits until all changes of the policies are in force. The API server applies changes in their order
// within seconds, and does not say when. So the test changes a canary policy last. When it takes effect, so have
// the others. There is one canary of each kind, because the API server handles the two kinds separately.
func inForce(ctx context.Context) error {
	nonce := rand.Text()
	if err := changeCanaries(ctx, nonce); err != nil {
		return err
	}
	return poll(ctx, func() string {
		trial := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "canary"}}
		err := kube.Create(ctx, trial, client.DryRunAll)
		// The message has what the mutating canary wrote, and ends with what the validating one says by itself.
		if err == nil || !strings.HasSuffix(err.Error(), nonce+" "+nonce) {
			return fmt.Sprintf("policies did not come into force: their canary %s says %v", nonce, err)
		}
		// A mutating policy also needs the CRD, which the API server learns separately.
		of := binding(metav1.NamespaceDefault, "canary", "C-1001", false)
		if err := kube.Create(ctx, of, client.DryRunAll); err != nil {
			return err.Error()
		}
		return ""
	})
}

func changeCanaries(ctx context.Context, nonce string) error {
	match := &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
		RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Create},
			Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
		},
		ResourceNames: []string{"canary"},
	}}}
	name := metav1.ObjectMeta{Name: "zz-canary"}

	mutating := &admissionv1.MutatingAdmissionPolicy{ObjectMeta: name}
	validating := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: name}
	mutatingBinding := &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: name}
	validatingBinding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: name}
	for _, step := range []struct {
		object client.Object
		change controllerutil.MutateFn
	}{
		{mutating, func() error {
			mutating.Spec = admissionv1.MutatingAdmissionPolicySpec{
				MatchConstraints:   match,
				ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
				Mutations: []admissionv1.Mutation{{
					PatchType: admissionv1.PatchTypeApplyConfiguration,
					ApplyConfiguration: &admissionv1.ApplyConfiguration{
						Expression: fmt.Sprintf("Object{metadata: Object.metadata{labels: {'canary': %q}}}", nonce),
					},
				}},
			}
			return nil
		}},
		{mutatingBinding, func() error {
			mutatingBinding.Spec.PolicyName = name.Name
			return nil
		}},
		{validating, func() error {
			validating.Spec = admissionv1.ValidatingAdmissionPolicySpec{
				MatchConstraints: match,
				Validations: []admissionv1.Validation{{
					Expression:        "false",
					Message:           "canary",
					MessageExpression: fmt.Sprintf("object.metadata.?labels[?'canary'].orValue('') + ' ' + %q", nonce),
				}},
				FailurePolicy: ptr.To(admissionv1.Fail),
			}
			return nil
		}},
		{validatingBinding, func() error {
			validatingBinding.Spec.PolicyName = name.Name
			validatingBinding.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Deny}
			return nil
		}},
	} {
		if _, err := controllerutil.CreateOrUpdate(ctx, kube, step.object, step.change); err != nil {
			return err
		}
	}
	return nil
}
