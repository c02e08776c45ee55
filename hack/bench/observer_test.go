package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// version is one of a binding's; without a status it is one that was not looked at.
func version(name string, ready metav1.ConditionStatus, reason string) *v1alpha1.ClientBinding {
	binding := &v1alpha1.ClientBinding{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if ready != "" {
		binding.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: ready, Reason: reason}}
	}
	return binding
}

func TestObserver(t *testing.T) {
	o := &observer{of: map[string]*history{}}
	o.see(version("a", "", ""), 0)
	o.see(version("b", "", ""), 0)
	o.see(version("a", metav1.ConditionFalse, "Confirming"), 1)
	o.see(version("a", metav1.ConditionTrue, "Bound"), 1)
	o.see(version("a", metav1.ConditionTrue, "Bound"), 1)
	if got := o.leftReady(); len(got) != 0 {
		t.Errorf("left Ready: %v", got)
	}
	if got := o.ready(); got != 1 {
		t.Errorf("%d are Ready", got)
	}
	if got := o.mostWrites(); got != 3 {
		t.Errorf("%d writes", got)
	}

	o.forget()
	o.see(version("a", metav1.ConditionUnknown, "Unverified"), 1)
	o.see(version("a", metav1.ConditionUnknown, "Unverified"), 1)
	if diff := cmp.Diff([]string{"a: Unknown/Unverified: "}, o.leftReady()); diff != "" {
		t.Errorf("left Ready (-want +got):\n%s", diff)
	}
	if got := o.ready(); got != 0 {
		t.Errorf("%d are Ready", got)
	}
	if got := o.mostWrites(); got != 2 {
		t.Errorf("%d writes after forgetting", got)
	}
}
