package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/controller"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// TestPoliciesAreLookedAt: with the shipped role the operator finds all shipped policies, and a change of
// one of them.
func TestPoliciesAreLookedAt(t *testing.T) {
	policies := controller.NewPolicies(asServiceAccount(t, systemNamespace, operatorName))
	look := func() map[string]string {
		policies.Check(t.Context())
		states := map[string]string{}
		for _, policy := range policies.Found() {
			states[policy.Kind+" "+policy.Name] = strings.TrimSuffix(policy.State+": "+policy.Problem, ": ")
		}
		return states
	}
	enforced := map[string]string{}
	for _, name := range shippedPolicies(t) {
		enforced[name] = "Enforced"
	}
	if diff := cmp.Diff(enforced, look()); diff != "" {
		t.Fatalf("policies that are shipped (-want +got):\n%s", diff)
	}
	const name = "clientbinding-operator-grants"
	policy := func(change func(*admissionv1.ValidatingAdmissionPolicy)) func(*testing.T) {
		return func(t *testing.T) { changed(t, name, &admissionv1.ValidatingAdmissionPolicy{}, change) }
	}
	binding := func(change func(*admissionv1.ValidatingAdmissionPolicyBinding)) func(*testing.T) {
		return func(t *testing.T) { changed(t, name, &admissionv1.ValidatingAdmissionPolicyBinding{}, change) }
	}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "team-a"}}
	for problem, done := range map[string]func(*testing.T){
		"it is missing":          policy(nil),
		"its binding is missing": binding(nil),
		"its binding does not deny": binding(func(b *admissionv1.ValidatingAdmissionPolicyBinding) {
			b.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Warn, admissionv1.Audit}
		}),
		"its binding leaves out objects": binding(func(b *admissionv1.ValidatingAdmissionPolicyBinding) {
			b.Spec.MatchResources = &admissionv1.MatchResources{NamespaceSelector: selector}
		}),
		"its failurePolicy is not Fail": policy(func(p *admissionv1.ValidatingAdmissionPolicy) {
			p.Spec.FailurePolicy = ptr.To(admissionv1.Ignore)
		}),
		"its matchConstraints leave out objects": policy(func(p *admissionv1.ValidatingAdmissionPolicy) {
			p.Spec.MatchConstraints.ObjectSelector = selector
		}),
	} {
		t.Run(problem, func(t *testing.T) {
			done(t)
			want := map[string]string{}
			for name := range enforced {
				want[name] = "Enforced"
			}
			want["ValidatingAdmissionPolicy "+name] = "NotEnforced: " + problem
			if diff := cmp.Diff(want, look()); diff != "" {
				t.Errorf("policies (-want +got):\n%s", diff)
			}
		})
	}
	if diff := cmp.Diff(enforced, look()); diff != "" {
		t.Errorf("policies that are put back (-want +got):\n%s", diff)
	}
	t.Run("may not be read", func(t *testing.T) {
		stranger := controller.NewPolicies(asServiceAccount(t, "default", "default"))
		stranger.Check(t.Context())
		for _, policy := range stranger.Found() {
			if policy.State != v1alpha1.ReasonPoliciesUnreadable {
				t.Errorf("%+v", policy)
			}
		}
		if len(stranger.Found()) != len(enforced) {
			t.Errorf("%d policies, want %d", len(stranger.Found()), len(enforced))
		}
	})
}

// TestMissingPoliciesAreTold: on the connection, which stays usable, and in the log.
func TestMissingPoliciesAreTold(t *testing.T) {
	n := newTenant(t, crowd())
	t.Run("missing", func(t *testing.T) {
		changed(t, "clientbinding-operator-grants", &admissionv1.ValidatingAdmissionPolicyBinding{}, nil)
		runAlone(t)
		n.connect(t)
		const want = "Access may be given by people who lack the verb grant: apply config/policy and config/policy-requester as they are shipped. " +
			"ValidatingAdmissionPolicy clientbinding-operator-grants: its binding is missing"
		sandbox.Within(t, time.Minute, func() string { return n.told(t, metav1.ConditionFalse, "NotEnforced", want) })
		sandbox.Within(t, time.Minute, func() string {
			log, err := operator.Log()
			if err != nil {
				t.Fatal(err)
			}
			if lineWith(log, want) == "" {
				return "the log does not say so"
			}
			return ""
		})
	})
	t.Run("put back", func(t *testing.T) {
		runAlone(t)
		sandbox.Within(t, time.Minute, func() string {
			return n.told(t, metav1.ConditionTrue, "Enforced", "The shipped admission policies are installed and enforced")
		})
	})
}

// told says that a Ready connection does not report the wanted state of the policies; "" when it does.
func (n *tenant) told(t *testing.T, status metav1.ConditionStatus, reason, message string) string {
	t.Helper()
	connection := &v1alpha1.APIConnection{}
	if err := kube.Get(t.Context(), client.ObjectKey{Namespace: n.Namespace, Name: v1alpha1.DefaultConnectionName}, connection); err != nil {
		t.Fatal(err)
	}
	if !meta.IsStatusConditionTrue(connection.Status.Conditions, v1alpha1.ConditionReady) {
		return "the connection is not Ready"
	}
	got := meta.FindStatusCondition(connection.Status.Conditions, v1alpha1.ConditionPoliciesEnforced)
	if got == nil {
		return "nothing is said of the policies"
	}
	type said struct {
		Status          metav1.ConditionStatus
		Reason, Message string
	}
	return cmp.Diff(said{status, reason, message}, said{got.Status, got.Reason, got.Message})
}

// shippedPolicies are the policies of config/default with failurePolicy Fail, as kind and name. Nothing depends on policies that fail open.
func shippedPolicies(t *testing.T) (names []string) {
	t.Helper()
	ours := client.MatchingLabels{"app.kubernetes.io/part-of": operatorName}
	validating, mutating := &admissionv1.ValidatingAdmissionPolicyList{}, &admissionv1.MutatingAdmissionPolicyList{}
	for _, list := range []client.ObjectList{validating, mutating} {
		if err := kube.List(t.Context(), list, ours); err != nil {
			t.Fatal(err)
		}
	}
	for i := range validating.Items {
		names = append(names, "ValidatingAdmissionPolicy "+validating.Items[i].Name)
	}
	for i := range mutating.Items {
		if *mutating.Items[i].Spec.FailurePolicy == admissionv1.Ignore {
			continue
		}
		names = append(names, "MutatingAdmissionPolicy "+mutating.Items[i].Name)
	}
	return names
}

// changed changes an object until the end of the test, or deletes it if there is no change.
func changed[T client.Object](t *testing.T, name string, object T, change func(T)) {
	t.Helper()
	if err := kube.Get(t.Context(), client.ObjectKey{Name: name}, object); err != nil {
		t.Fatal(err)
	}
	former := object.DeepCopyObject().(client.Object)
	var err error
	if change == nil {
		err = kube.Delete(t.Context(), object)
	} else {
		change(object)
		err = kube.Update(t.Context(), object)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		var err error
		if change == nil {
			former.SetResourceVersion("")
			err = kube.Create(ctx, former)
		} else {
			former.SetResourceVersion(object.GetResourceVersion())
			err = kube.Update(ctx, former)
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// asServiceAccount is the API server as a ServiceAccount sees it.
func asServiceAccount(t *testing.T, namespace, name string) client.Reader {
	t.Helper()
	config := rest.CopyConfig(cluster.Config)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":" + name,
		Groups:   []string{"system:authenticated", "system:serviceaccounts", "system:serviceaccounts:" + namespace},
	}
	reader, err := client.New(config, client.Options{Scheme: kube.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return reader
}
