package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// samples are the ClientBindings of config/samples.
type samples struct {
	// good ones are about users that the platform knows.
	good []v1alpha1.ClientBinding
	// wrong is about a user that it does not know.
	wrong v1alpha1.ClientBinding
}

// applySamples applies config/samples as they are, but for the two things that only the demo knows: where its
// platform is, and the password of the account there.
func applySamples(ctx context.Context, cluster *sandbox.ControlPlane, simulator *sandbox.Simulator, config delossim.Config) (samples, error) {
	manifests, err := sandbox.Render(ctx, "config/samples")
	if err != nil {
		return samples{}, err
	}
	account := config.Accounts[0]
	for _, object := range manifests.Kind("APIConnection") {
		err = errors.Join(err, unstructured.SetNestedField(object.Object, simulator.URL, "spec", "url"))
	}
	for _, object := range manifests.Kind("Secret") {
		err = errors.Join(err,
			unstructured.SetNestedField(object.Object, account.Login, "stringData", v1alpha1.SecretKeyLogin),
			unstructured.SetNestedField(object.Object, account.Password, "stringData", v1alpha1.SecretKeyPassword))
	}
	if err != nil {
		return samples{}, err
	}
	found, err := sortSamples(manifests, simulator)
	if err != nil {
		return samples{}, err
	}
	return found, cluster.Apply(ctx, manifests)
}

// sortSamples tells the wrong sample from the good ones.
func sortSamples(manifests sandbox.Manifests, simulator *sandbox.Simulator) (samples, error) {
	var found samples
	wrong := 0
	for _, object := range manifests.Kind("ClientBinding") {
		var binding v1alpha1.ClientBinding
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &binding); err != nil {
			return samples{}, err
		}
		if binding.Namespace == "" {
			binding.Namespace = metav1.NamespaceDefault
		}
		if _, known := simulator.User(binding.Spec.UserUUID); known {
			found.good = append(found.good, binding)
		} else {
			found.wrong = binding
			wrong++
		}
	}
	if wrong != 1 {
		return samples{}, fmt.Errorf("config/samples has %d ClientBindings of unknown users; the demo shows exactly one", wrong)
	}
	return found, nil
}

// standard is the first good sample without ownership.
func (s samples) standard() (v1alpha1.ClientBinding, error) {
	for _, binding := range s.good {
		if !binding.Spec.IsOwner {
			return binding, nil
		}
	}
	return v1alpha1.ClientBinding{}, errors.New("config/samples has no ClientBinding with isOwner: false to promote")
}

// owner is the first good sample with ownership.
func (s samples) owner() (v1alpha1.ClientBinding, error) {
	for _, binding := range s.good {
		if binding.Spec.IsOwner {
			return binding, nil
		}
	}
	return v1alpha1.ClientBinding{}, errors.New("config/samples has no ClientBinding with isOwner: true to delete")
}

// unexpected says which samples are not as they should be yet; "" when all are.
func (s *stage) unexpected(ctx context.Context) (string, error) {
	var wrong []string
	for _, sample := range s.samples.good {
		problem, err := s.notBound(ctx, sample)
		if err != nil {
			return "", err
		}
		wrong = append(wrong, problem...)
	}
	ready, err := s.ready(ctx, s.samples.wrong)
	if err != nil {
		return "", err
	}
	if ready.Status != metav1.ConditionFalse || ready.Reason != v1alpha1.ReasonUserNotFound {
		wrong = append(wrong, fmt.Sprintf("%s is not False/UserNotFound but %s", s.samples.wrong.Name, describe(ready)))
	}
	return strings.Join(wrong, "; "), nil
}

// notBound says what keeps a binding from being as it declares, in Kubernetes and on the platform.
func (s *stage) notBound(ctx context.Context, binding v1alpha1.ClientBinding) ([]string, error) {
	ready, err := s.ready(ctx, binding)
	if err != nil {
		return nil, err
	}
	var wrong []string
	if ready.Status != metav1.ConditionTrue || ready.Reason != v1alpha1.ReasonBound {
		wrong = append(wrong, fmt.Sprintf("%s is not True/Bound but %s", binding.Name, describe(ready)))
	}
	isOwner, related := s.simulator.Shown(binding.Spec.UserUUID)[binding.Spec.CUID]
	if !related || isOwner != binding.Spec.IsOwner {
		wrong = append(wrong, fmt.Sprintf("the platform shows user %s with client %s: related %t, owner %t, declared owner %t",
			binding.Spec.UserUUID, binding.Spec.CUID, related, isOwner, binding.Spec.IsOwner))
	}
	return wrong, nil
}

// ready is the condition Ready of the binding's present generation; empty until there is one.
func (s *stage) ready(ctx context.Context, of v1alpha1.ClientBinding) (metav1.Condition, error) {
	binding := &v1alpha1.ClientBinding{}
	if err := s.kube.Get(ctx, client.ObjectKeyFromObject(&of), binding); err != nil {
		return metav1.Condition{}, err
	}
	ready := meta.FindStatusCondition(binding.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || ready.ObservedGeneration != binding.Generation {
		return metav1.Condition{}, nil
	}
	return *ready, nil
}

func describe(ready metav1.Condition) string {
	if ready.Status == "" {
		return "not looked at yet"
	}
	return fmt.Sprintf("%s/%s: %s", ready.Status, ready.Reason, ready.Message)
}
