//go:build e2e

package cluster

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// startLimit is the time from `helm install` until the samples are Ready, with the image on the node.
const startLimit = 20 * time.Second

// The first steps of the README: install the chart, apply the samples, and the users have access.
func TestInstall(t *testing.T) {
	uninstall(t)
	n := newTenant(t, delossim.Examples())
	samples := n.Samples(t)
	start := time.Now()
	install(t)
	for _, object := range samples {
		if object.GetKind() == "APIConnection" {
			sandbox.Must(t, unstructured.SetNestedField(object.Object, n.platform.CABundle, "spec", "caBundle"))
		}
		if object.GetKind() != "Namespace" {
			sandbox.Must(t, kube.Create(t.Context(), object))
		}
	}
	want := map[string]string{}
	for _, object := range samples.Kind("ClientBinding") {
		want[object.GetName()] = v1alpha1.ReasonBound
	}
	want["nobody-uses-cust-789xyz"] = v1alpha1.ReasonUserNotFound // it is wrong on purpose
	sandbox.Within(t, time.Minute, func() string { return cmp.Diff(want, n.reasons(t)) })
	took := time.Since(start)
	t.Logf("from helm install to all samples Ready: %s", sandbox.Seconds(took))
	if took > startLimit {
		t.Errorf("the samples were Ready after %s, want %s", took, startLimit)
	}
	if diff := cmp.Diff(map[string]bool{
		"158a190e-c4a9-4e6c-bf9b-4ef74ae345eb DoxdEEV-4IJq-zKeUYqrtqVDK": true,
		"158a190e-c4a9-4e6c-bf9b-4ef74ae345eb cust_789xyz":               false,
		"user_abc123def cust_789xyz":                                     true,
	}, n.platform.relations(t)); diff != "" {
		t.Errorf("access (-want +got):\n%s", diff)
	}
}

// reasons are the reasons of the bindings' condition Ready.
func (n *tenant) reasons(t *testing.T) map[string]string {
	t.Helper()
	var list v1alpha1.ClientBindingList
	sandbox.Must(t, kube.List(t.Context(), &list, client.InNamespace(n.Namespace)))
	reasons := map[string]string{}
	for _, binding := range list.Items {
		reasons[binding.Name] = sandbox.Ready(binding.Status.Conditions).Reason
	}
	return reasons
}

// Without the operator everything stays as it is, and a new one takes it over without a change on the platform.
func TestReinstall(t *testing.T) {
	install(t)
	const count = 20
	n := newTenant(t, crowd(count))
	n.connect(t)
	n.bind(t, 0, count)
	sandbox.Within(t, time.Minute, func() string { return n.allReady(t, count) })
	access := n.platform.relations(t)
	n.platform.forgetCalls(t)

	uninstall(t)
	if problem := n.allReady(t, count); problem != "" {
		t.Error("after helm uninstall:", problem)
	}
	install(t)
	// One more shows that the new operator works.
	sandbox.Must(t, kube.Patch(t.Context(), n.bindingOf(0), sandbox.MergePatch(
		`{"metadata": {"annotations": {"access.delos.financial/requestedAt": "now"}}}`)))
	sandbox.Within(t, time.Minute, func() string {
		binding := n.bindingOf(0)
		sandbox.Must(t, kube.Get(t.Context(), client.ObjectKeyFromObject(binding), binding))
		if binding.Status.LastHandledRequestedAt != "now" {
			return "the new operator has not looked at user-0"
		}
		return n.allReady(t, count)
	})
	if diff := cmp.Diff(map[string]int{}, n.platform.writes(t)); diff != "" {
		t.Errorf("writes to the API (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(access, n.platform.relations(t)); diff != "" {
		t.Errorf("access (-before +after):\n%s", diff)
	}
}

// An upgrade and a rollback, while bindings are created and deleted.
func TestUpgradeAndBack(t *testing.T) {
	install(t)
	const count = 120
	n := newTenant(t, crowd(count))
	n.connect(t)
	n.bind(t, 0, 60)
	sandbox.Within(t, time.Minute, func() string { return n.allReady(t, 60) })
	for i, tag := range []string{nextVersion, version} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			n.bind(t, 60+i*30, 90+i*30)
			for user := i * 30; user < 30+i*30; user++ {
				n.Delete(t, n.bindingOf(user))
			}
		}()
		install(t, "image.tag="+tag)
		<-done
		sandbox.Within(t, 2*time.Minute, func() string { return n.allReady(t, 60) })
		for _, pod := range readyPods(t, systemNamespace, operatorLabels) {
			if got, want := pod.Spec.Containers[0].Image, repository+":"+tag; got != want {
				t.Errorf("%s runs %s, want %s", pod.Name, got, want)
			}
		}
	}
	want := map[string]int{}
	for user := range count {
		want["PUT "+relation(user)] = 1
		if user < 60 {
			want["DELETE "+relation(user)] = 1
		}
	}
	sandbox.Within(t, time.Minute, func() string { return cmp.Diff(want, n.platform.writes(t)) })
}

// The deletion of a team's namespace revokes its access.
func TestDeletedNamespace(t *testing.T) {
	install(t)
	n := newTenant(t, crowd(10))
	n.connect(t)
	n.bind(t, 0, 10)
	sandbox.Within(t, time.Minute, func() string { return n.allReady(t, 10) })
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n.Namespace}}
	sandbox.Must(t, kube.Delete(t.Context(), namespace))
	sandbox.Within(t, 2*time.Minute, func() string { return stillThere(t.Context(), namespace) })
	if diff := cmp.Diff(map[string]bool{}, n.platform.relations(t)); diff != "" {
		t.Errorf("access (-want +got):\n%s", diff)
	}
}

// `helm test` shows that the release works: it gives access and revokes it.
func TestHelmTest(t *testing.T) {
	install(t)
	n := newTenant(t, crowd(1))
	n.connect(t)
	install(t, "trial.connection="+n.Namespace+"/default", "trial.user="+userID(0), "trial.cuid="+crowdClient)
	t.Log(run(t, helm("test", "--logs", "--timeout=2m")...))
	if diff := cmp.Diff(map[string]int{"PUT " + relation(0): 1, "DELETE " + relation(0): 1}, n.platform.writes(t)); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	install(t)
}
