//go:build e2e

package cluster

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	systemNamespace = "clientbinding-system"
	operatorName    = "clientbinding-operator"
	chart           = "charts/" + operatorName
)

var operatorLabels = map[string]string{"app.kubernetes.io/name": operatorName}

// install brings the release into the state of the values, from any state, and waits until all pods are ready.
func install(t *testing.T, values ...string) {
	t.Helper()
	restricted(t)
	run(t, helm("upgrade", append([]string{"--install", chart, "--wait", "--timeout=2m"}, flags(values)...)...)...)
}

// flags set the values that all tests need, and then others.
func flags(values []string) []string {
	var all []string
	for _, value := range append([]string{
		"image.repository=" + repository, "image.tag=" + version, "allowedAPIHosts={*.svc}", "networkPolicy.egress.ports={443,6443,8443}",
	}, values...) {
		all = append(all, "--set", value)
	}
	return all
}

func helm(command string, args ...string) []string {
	return append([]string{"bin/helm", command, "--namespace=" + systemNamespace, operatorName}, args...)
}

// uninstall uninstalls the release, if it exists.
func uninstall(t *testing.T) {
	t.Helper()
	run(t, helm("uninstall", "--ignore-not-found", "--wait", "--timeout=2m")...)
}

// restricted creates the operator's namespace, which enforces the Pod Security Standard "restricted".
func restricted(t *testing.T) {
	t.Helper()
	err := kube.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace, Labels: map[string]string{
		"pod-security.kubernetes.io/enforce": "restricted",
	}}})
	if !apierrors.IsAlreadyExists(err) {
		sandbox.Must(t, err)
	}
}

// newNamespace creates a namespace for the test, which enforces the same standard.
func newNamespace(t *testing.T, name string) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: name + "-", Labels: map[string]string{
		"pod-security.kubernetes.io/enforce": "restricted",
	}}}
	sandbox.Must(t, kube.Create(t.Context(), namespace))
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := client.IgnoreNotFound(kube.Delete(ctx, namespace)); err != nil {
			t.Error(err)
		}
		last, err := sandbox.Await(ctx, 3*time.Minute, func() string { return stillThere(ctx, namespace) })
		if err != nil {
			t.Errorf("%s (%v)", last, err)
		}
	})
	return namespace.Name
}

// stillThere says that an object exists; "" when it is gone.
func stillThere(ctx context.Context, object client.Object) string {
	switch err := kube.Get(ctx, client.ObjectKeyFromObject(object), object); {
	case apierrors.IsNotFound(err):
		return ""
	case err != nil:
		return err.Error()
	}
	return fmt.Sprintf("%T %s is still there", object, object.GetName())
}

// tenant is a team's namespace with a connection to its own platform.
type tenant struct {
	*sandbox.Tenant
	platform *platform
}

// newTenant makes a team's namespace and its platform. The operator is installed; it has to be there still when the test ends.
func newTenant(t *testing.T, config delossim.Config) *tenant {
	t.Helper()
	p := newPlatform(t, "delos", config)
	n := &tenant{platform: p, Tenant: &sandbox.Tenant{
		Sandbox: &sandbox.Sandbox{
			Kube:       kube,
			Deployment: sandbox.Deployment{Namespace: systemNamespace, ServiceAccount: operatorName},
		},
		Namespace: newNamespace(t, "team"),
		Platform:  &sandbox.Simulator{URL: p.URL},
	}}
	return n
}

// connect makes the default connection, with the platform's certificate as its authority.
func (n *tenant) connect(t *testing.T) {
	t.Helper()
	connection := n.Connection("default", n.platform.URL, sandbox.CredentialsName)
	connection.Spec.CABundle = n.platform.CABundle
	connection.Spec.RateLimit = &v1alpha1.RateLimit{RequestsPerSecond: 100, Burst: 100}
	n.Create(t, n.CredentialsBinding(), n.Secret(sandbox.CredentialsName, sandbox.Account), connection)
}

// crowdClient is the client to which the users of a crowd have access.
const crowdClient = "cust_0"

func userID(user int) string { return fmt.Sprintf("user_%d", user) }

// relation is the name of a user's relation in platform.relations and platform.writes.
func relation(user int) string { return userID(user) + " " + crowdClient }

// crowd is a platform with count users and one client.
func crowd(count int) delossim.Config {
	config := delossim.Config{Clients: []string{crowdClient}}
	for user := range count {
		config.Users = append(config.Users, delossim.User{UUID: userID(user)})
	}
	return config
}

// bindingOf is the binding of a user of a crowd.
func (n *tenant) bindingOf(user int) *v1alpha1.ClientBinding {
	return n.Binding(fmt.Sprintf("user-%d", user), userID(user), crowdClient, false)
}

// bind declares access for the users from first to before end.
func (n *tenant) bind(t *testing.T, first, end int) {
	t.Helper()
	for user := first; user < end; user++ {
		n.Create(t, n.bindingOf(user))
	}
}

// allReady says which bindings of the namespace are missing or not Ready; "" when there are none.
func (n *tenant) allReady(t *testing.T, want int) string {
	t.Helper()
	var list v1alpha1.ClientBindingList
	sandbox.Must(t, kube.List(t.Context(), &list, client.InNamespace(n.Namespace)))
	ready := 0
	var problem string
	for i := range list.Items {
		if last := sandbox.NotReady(&list.Items[i], list.Items[i].Status.Conditions, metav1.ConditionTrue, v1alpha1.ReasonBound); last != "" {
			problem = list.Items[i].Name + ": " + last
			continue
		}
		ready++
	}
	if ready != want {
		return fmt.Sprintf("%d of %d bindings are Ready, want %d; %s", ready, len(list.Items), want, problem)
	}
	return ""
}

// readyPods are those with the labels.
func readyPods(t *testing.T, namespace string, labels map[string]string) []corev1.Pod {
	t.Helper()
	var list corev1.PodList
	sandbox.Must(t, kube.List(t.Context(), &list, client.InNamespace(namespace), client.MatchingLabels(labels)))
	var ready []corev1.Pod
	for _, pod := range list.Items {
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil {
				ready = append(ready, pod)
			}
		}
	}
	return ready
}

// lease is the operator's Lease.
func lease(t *testing.T) *coordinationv1.Lease {
	t.Helper()
	lease := &coordinationv1.Lease{}
	sandbox.Must(t, kube.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: operatorName + ".access.delos.financial"}, lease))
	return lease
}

// leader waits for a holder of the Lease, and returns its pod.
func leader(t *testing.T) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	sandbox.Within(t, time.Minute, func() string {
		holder := lease(t).Spec.HolderIdentity
		if holder == nil || *holder == "" {
			return "nobody has the lease"
		}
		name, _, _ := strings.Cut(*holder, "_")
		if err := kube.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: name}, pod); err != nil {
			return err.Error()
		}
		return ""
	})
	return pod
}
