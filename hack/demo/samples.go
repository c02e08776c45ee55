package main

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// samples are the ClientBindings of config/samples.
type samples struct {
	// good ones are about users that the platform knows; the first without and with ownership are tried.
	good            []v1alpha1.ClientBinding
	standard, owner v1alpha1.ClientBinding
	// wrong is about a user that it does not know.
	wrong v1alpha1.ClientBinding
}

// applySamples applies config/samples as they are, but for the two things that only the demo knows: where its
// platform is, and the password of the account there.
func (s *stage) applySamples() {
	manifests := s.Samples(s)
	wrong := 0
	for _, object := range manifests.Kind("ClientBinding") {
		var binding v1alpha1.ClientBinding
		sandbox.Must(s, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &binding))
		if _, known := s.Platform.User(binding.Spec.UserUUID); !known {
			s.samples.wrong = binding
			wrong++
			continue
		}
		s.samples.good = append(s.samples.good, binding)
		of := &s.samples.standard
		if binding.Spec.IsOwner {
			of = &s.samples.owner
		}
		if of.Name == "" {
			*of = binding
		}
	}
	if wrong != 1 || s.samples.standard.Name == "" || s.samples.owner.Name == "" {
		s.Fatal("config/samples has to have one ClientBinding of an unknown user, and of known ones some with and without isOwner")
	}
	sandbox.Must(s, s.Cluster.Apply(s.Context(), manifests))
}

// unexpected says which samples are not as they should be yet; "" when all are.
func (s *stage) unexpected() string {
	for _, sample := range s.samples.good {
		if problem := s.Unbound(s, sample.Name); problem != "" {
			return problem
		}
	}
	wrong := s.wrongNow()
	if problem := sandbox.NotReady(wrong, wrong.Status.Conditions, metav1.ConditionFalse, v1alpha1.ReasonUserNotFound); problem != "" {
		return wrong.Name + ": " + problem
	}
	return ""
}

// wrongNow is the wrong sample as it is now.
func (s *stage) wrongNow() *v1alpha1.ClientBinding {
	now := &v1alpha1.ClientBinding{}
	sandbox.Must(s, s.Kube.Get(s.Context(), client.ObjectKeyFromObject(&s.samples.wrong), now))
	return now
}
