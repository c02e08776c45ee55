// Package config_test tests the manifests on a real API server.
package config_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/delos-financial/clientbinding-operator/internal/apiservertest"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	system  = "clientbinding-system"
	account = "clientbinding-operator"
)

// kube is the API server of all tests. It has the CRDs and the namespaces of the manifests, and
// refuses fields that it does not know.
var kube client.Client

func TestMain(m *testing.M) {
	environment := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}
	// As in a real cluster, a pod needs its ServiceAccount.
	environment.ControlPlane.GetAPIServer().Configure().Disable("disable-admission-plugins")
	os.Exit(apiservertest.Run(m, environment, prepare))
}

func prepare(cluster *rest.Config) error {
	strict, err := client.New(cluster, client.Options{})
	if err != nil {
		return err
	}
	kube = client.WithFieldOwner(client.WithFieldValidation(strict, "Strict"), "test")
	for _, directory := range []string{"default", "samples"} {
		manifests, err := sandbox.Render(context.Background(), "config/"+directory)
		if err != nil {
			return err
		}
		for _, namespace := range manifests.Kind("Namespace") {
			if err := kube.Create(context.Background(), namespace); err != nil {
				return err
			}
		}
	}
	return nil
}

func render(t *testing.T, directory string) sandbox.Manifests {
	t.Helper()
	manifests, err := sandbox.Render(t.Context(), "config/"+directory)
	if err != nil {
		t.Fatal(err)
	}
	if len(manifests) == 0 {
		t.Fatalf("config/%s is empty", directory)
	}
	return manifests
}

// as reads a manifest as its Go type.
func as[T any](t *testing.T, manifest *unstructured.Unstructured) *T {
	t.Helper()
	typed := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(manifest.Object, typed, true); err != nil {
		t.Fatalf("%s %s: %v", manifest.GetKind(), manifest.GetName(), err)
	}
	return typed
}

// apply applies a manifest as `kubectl apply --server-side` does.
func apply(t *testing.T, manifest *unstructured.Unstructured, options ...client.ApplyOption) {
	t.Helper()
	options = append(options, client.ForceOwnership)
	if err := kube.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(manifest.DeepCopy()), options...); err != nil {
		t.Errorf("%s %s: %v", manifest.GetKind(), manifest.GetName(), err)
	}
}

// install applies config/default without its admission policies, which would be in force for the other tests; they are
// tried in config/policy.
func install(t *testing.T) sandbox.Manifests {
	t.Helper()
	manifests := render(t, "default")
	for _, manifest := range manifests {
		if manifest.GroupVersionKind().Group != "admissionregistration.k8s.io" {
			apply(t, manifest)
		}
	}
	return manifests
}

var directories = []string{"crd", "rbac", "manager", "default", "namespaced", "samples", "examples/terms", "examples/generated-names", "cluster-credentials", "shards"}

func TestManifestsAreAccepted(t *testing.T) {
	for _, directory := range directories {
		t.Run(directory, func(t *testing.T) {
			for _, manifest := range render(t, directory) {
				apply(t, manifest, client.DryRunAll)
			}
		})
	}
}

// TestGeneratedNamesArriveInReferences: with our component, kustomize also changes names in the references of our kinds.
func TestGeneratedNamesArriveInReferences(t *testing.T) {
	const directory = "examples/generated-names"
	// A layer above, as for one more environment.
	above, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	example, err := filepath.Abs(directory)
	if err != nil {
		t.Fatal(err)
	}
	if example, err = filepath.Rel(above, example); err != nil {
		t.Fatal(err)
	}
	content := "namePrefix: eu-\nnameSuffix: -two\nresources: [" + example + "]\n"
	if err := os.WriteFile(filepath.Join(above, "kustomization.yaml"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, name := range map[string]*regexp.Regexp{
		"config/" + directory: regexp.MustCompile(`^staging-delos(-credentials-[a-z0-9]{10})?$`),
		above:                 regexp.MustCompile(`^eu-staging-delos(-credentials)?-two(-[a-z0-9]{10})?$`),
	} {
		manifests, err := sandbox.Render(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		for _, reference := range []struct {
			from, to string
			fields   []string
		}{
			{"ClientBinding", "APIConnection", []string{"spec", "connectionRef", "name"}},
			{"APIConnection", "Secret", []string{"spec", "credentials", "secretRef", "name"}},
		} {
			want := manifests.Kind(reference.to)[0].GetName()
			got, _, err := unstructured.NestedString(manifests.Kind(reference.from)[0].Object, reference.fields...)
			if err != nil || got != want || !name.MatchString(got) {
				t.Errorf("%s: the %s names the %s %q, which is called %q (%v)", path, reference.from, reference.to, got, want, err)
			}
		}
	}
}

// TestUnknownFieldsAreNoticed shows that the test above can fail.
func TestUnknownFieldsAreNoticed(t *testing.T) {
	deployment := render(t, "default").Kind("Deployment")[0]
	if err := unstructured.SetNestedField(deployment.Object, true, "spec", "template", "spec", "runAsNonRoot"); err != nil {
		t.Fatal(err)
	}
	err := kube.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(deployment), client.DryRunAll, client.ForceOwnership)
	if err == nil || !strings.Contains(err.Error(), ".spec.template.spec.runAsNonRoot: field not declared in schema") {
		t.Errorf("runAsNonRoot at the wrong place: %v", err)
	}
}

func TestPodIsAdmittedWhereRestrictedIsEnforced(t *testing.T) {
	manifests := install(t)
	template := as[appsv1.Deployment](t, manifests.Kind("Deployment")[0]).Spec.Template

	for _, test := range []struct {
		reason string
		change func(*corev1.PodSpec)
		want   string
	}{
		{
			reason: "as it is",
			change: func(*corev1.PodSpec) {},
		},
		{
			reason: "as root",
			change: func(pod *corev1.PodSpec) { pod.SecurityContext.RunAsUser = ptr.To[int64](0) },
			want:   "runAsUser=0 (pod must not set runAsUser=0)",
		},
		{
			reason: "privileged",
			change: func(pod *corev1.PodSpec) {
				pod.Containers[0].SecurityContext.Privileged = ptr.To(true)
				pod.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil
			},
			want: `privileged (container "manager" must not set securityContext.privileged=true), ` +
				`allowPrivilegeEscalation != false (container "manager" must set securityContext.allowPrivilegeEscalation=false)`,
		},
	} {
		t.Run(test.reason, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: *template.Spec.DeepCopy()}
			pod.Name, pod.Namespace = "trial", system
			test.change(&pod.Spec)
			err := kube.Create(t.Context(), pod)
			want, got := "", ""
			if test.want != "" {
				want = `pods "trial" is forbidden: violates PodSecurity "restricted:v1.37": ` + test.want
			}
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if err == nil && kube.Delete(t.Context(), pod) != nil {
				t.Error("the pod cannot be deleted")
			}
		})
	}
}

func TestImagesHaveVersions(t *testing.T) {
	for _, manifest := range render(t, "default").Kind("Deployment") {
		for _, container := range as[appsv1.Deployment](t, manifest).Spec.Template.Spec.Containers {
			_, version, _ := strings.Cut(container.Image, ":")
			if version == "" || version == "latest" {
				t.Errorf("%s runs %s", container.Name, container.Image)
			}
		}
	}
}

// TestBindingsReferToWhatIsThere in the namespace that is shipped, and in one that a kustomization of
// the user's puts in its place.
func TestBindingsReferToWhatIsThere(t *testing.T) {
	for _, test := range []struct {
		reason, directory, want string
	}{
		{"as it is", "config/default", system},
		{"for some namespaces", "config/namespaced", system},
		{"in another namespace", overlay(t, "namespace: elsewhere"), "elsewhere"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			manifests, err := sandbox.Render(t.Context(), test.directory)
			if err != nil {
				t.Fatal(err)
			}
			there := map[string]bool{}
			for _, manifest := range manifests {
				there[manifest.GetKind()+" "+manifest.GetNamespace()+"/"+manifest.GetName()] = true
			}
			if !there["ServiceAccount "+test.want+"/"+account] {
				t.Fatalf("no ServiceAccount %s in namespace %s", account, test.want)
			}
			for _, manifest := range slices.Concat(manifests.Kind("RoleBinding"), manifests.Kind("ClusterRoleBinding")) {
				binding := as[rbacv1.RoleBinding](t, manifest)
				roleNamespace := ""
				if binding.RoleRef.Kind == "Role" {
					roleNamespace = binding.Namespace
				}
				if role := binding.RoleRef.Kind + " " + roleNamespace + "/" + binding.RoleRef.Name; !there[role] {
					t.Errorf("%s %s refers to %s, which is not there", binding.Kind, binding.Name, role)
				}
				for _, subject := range binding.Subjects {
					if who := subject.Kind + " " + subject.Namespace + "/" + subject.Name; !there[who] {
						t.Errorf("%s %s gives its role to %s, which is not there", binding.Kind, binding.Name, who)
					}
				}
			}
		})
	}
}

// overlay is a directory with a kustomization that changes config/default.
func overlay(t *testing.T, change string) string {
	t.Helper()
	directory, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	base, err := filepath.Abs("default")
	if err != nil {
		t.Fatal(err)
	}
	base, err = filepath.Rel(directory, base)
	if err != nil {
		t.Fatal(err)
	}
	content := fmt.Sprintf("resources: [%q]\n%s\n", base, change)
	if err := os.WriteFile(filepath.Join(directory, "kustomization.yaml"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return directory
}

func TestRolesNameWhatTheyAllow(t *testing.T) {
	for _, manifest := range slices.Concat(render(t, "default").Kind("Role"), render(t, "default").Kind("ClusterRole")) {
		role := as[rbacv1.ClusterRole](t, manifest)
		for _, rule := range role.Rules {
			for _, words := range [][]string{rule.Verbs, rule.APIGroups, rule.Resources, rule.NonResourceURLs} {
				if slices.ContainsFunc(words, func(word string) bool { return strings.Contains(word, "*") }) {
					t.Errorf("%s %s has a wildcard: %v", role.Kind, role.Name, words)
				}
			}
		}
		if role.AggregationRule != nil {
			t.Errorf("%s %s takes in what others allow", role.Kind, role.Name)
		}
	}
}

// TestNamespacedOperatorHasTheSameRights in the namespaces that it serves, and none in the whole cluster but to ask who
// reads its metrics.
func TestNamespacedOperatorHasTheSameRights(t *testing.T) {
	rules := func(manifests sandbox.Manifests, kind, namespace string) []rbacv1.PolicyRule {
		for _, manifest := range manifests.Kind(kind) {
			if manifest.GetName() == account && manifest.GetNamespace() == namespace {
				return as[rbacv1.ClusterRole](t, manifest).Rules
			}
		}
		return nil
	}
	namespaced := render(t, "namespaced")
	wanted := rules(render(t, "default"), "ClusterRole", "")
	if len(wanted) == 0 {
		t.Fatal("config/default has no role of the operator")
	}
	if diff := cmp.Diff(wanted, rules(namespaced, "Role", "team-a")); diff != "" {
		t.Errorf("-in all namespaces +in team-a:\n%s", diff)
	}
	var everywhere []string
	for _, manifest := range namespaced.Kind("ClusterRoleBinding") {
		everywhere = append(everywhere, as[rbacv1.ClusterRoleBinding](t, manifest).RoleRef.Name)
	}
	if diff := cmp.Diff([]string{"clientbinding-operator-metrics-auth"}, everywhere); diff != "" {
		t.Errorf("rights in the whole cluster: -want +got:\n%s", diff)
	}
}

// TestNobodyGivesAccessUnasked: many people have the ClusterRoles view, edit and admin. These let them read both
// kinds, and no more.
func TestNobodyGivesAccessUnasked(t *testing.T) {
	const aggregate = "rbac.authorization.k8s.io/aggregate-to-"
	var aggregated []string
	for _, manifest := range render(t, "default").Kind("ClusterRole") {
		role := as[rbacv1.ClusterRole](t, manifest)
		for label := range role.Labels {
			if !strings.HasPrefix(label, aggregate) {
				continue
			}
			aggregated = append(aggregated, role.Name+" to "+strings.TrimPrefix(label, aggregate))
			for _, rule := range role.Rules {
				if diff := cmp.Diff([]string{"get", "list", "watch"}, rule.Verbs); diff != "" {
					t.Errorf("verbs of %s: -want +got:\n%s", role.Name, diff)
				}
			}
		}
	}
	if diff := cmp.Diff([]string{"clientbinding-operator-viewer to view"}, aggregated); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestOperatorHasItsRights asks the API server what the operator's ServiceAccount may do.
func TestOperatorHasItsRights(t *testing.T) {
	install(t)
	const (
		ours = "access.delos.financial"
		team = "team-a"
	)
	lease := func(namespace, verb, name string) authorizationv1.ResourceAttributes {
		return authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: verb, Group: "coordination.k8s.io", Resource: "leases", Name: name,
		}
	}
	const leader = "clientbinding-operator.access.delos.financial"
	for _, test := range []struct {
		reason string
		asked  authorizationv1.ResourceAttributes
		want   bool
	}{
		{"finds bindings everywhere", authorizationv1.ResourceAttributes{Verb: "watch", Group: ours, Resource: "clientbindings"}, true},
		{"finds connections everywhere", authorizationv1.ResourceAttributes{Verb: "watch", Group: ours, Resource: "apiconnections"}, true},
		{"knows the labels of namespaces", authorizationv1.ResourceAttributes{Verb: "watch", Resource: "namespaces"}, true},
		{"changes no namespace", authorizationv1.ResourceAttributes{Namespace: team, Verb: "patch", Resource: "namespaces"}, false},
		{"reads no Secret unasked", authorizationv1.ResourceAttributes{Namespace: team, Verb: "get", Resource: "secrets"}, false},
		{"lists no Secrets unasked", authorizationv1.ResourceAttributes{Verb: "list", Resource: "secrets"}, false},
		{"watches no Secrets unasked", authorizationv1.ResourceAttributes{Verb: "watch", Resource: "secrets"}, false},
		{"changes no Secret unasked", authorizationv1.ResourceAttributes{Namespace: team, Verb: "patch", Resource: "secrets"}, false},
		{"releases Secrets, where it may change them", authorizationv1.ResourceAttributes{Namespace: team, Verb: "release", Resource: "secrets", Subresource: "finalizers"}, true},
		{"makes no Secret", authorizationv1.ResourceAttributes{Namespace: team, Verb: "create", Resource: "secrets"}, false},
		{"deletes no Secret", authorizationv1.ResourceAttributes{Namespace: team, Verb: "delete", Resource: "secrets"}, false},
		{"sets finalizers", authorizationv1.ResourceAttributes{Namespace: team, Verb: "patch", Group: ours, Resource: "clientbindings"}, true},
		{"reports", authorizationv1.ResourceAttributes{
			Namespace: team, Verb: "patch", Group: ours, Resource: "clientbindings", Subresource: "status",
		}, true},
		{"takes its finalizers away", authorizationv1.ResourceAttributes{
			Namespace: team, Verb: "release", Group: ours, Resource: "clientbindings", Subresource: "finalizers",
		}, true},
		{"leaves no access behind", authorizationv1.ResourceAttributes{
			Namespace: team, Verb: "orphan", Group: ours, Resource: "clientbindings", Subresource: "owner",
		}, false},
		{"gives nobody access", authorizationv1.ResourceAttributes{Namespace: team, Verb: "create", Group: ours, Resource: "clientbindings"}, false},
		{"makes nobody owner", authorizationv1.ResourceAttributes{
			Namespace: team, Verb: "grant", Group: ours, Resource: "clientbindings", Subresource: "owner",
		}, false},
		{"takes nobody's access", authorizationv1.ResourceAttributes{Namespace: team, Verb: "delete", Group: ours, Resource: "clientbindings"}, false},
		{"tells what happened", authorizationv1.ResourceAttributes{
			Namespace: team, Verb: "create", Group: "events.k8s.io", Resource: "events",
		}, true},
		{"stands for election", lease(system, "create", ""), true},
		{"stays leader", lease(system, "update", leader), true},
		{"takes no other lease", lease(system, "update", "other"), false},
		{"has no lease elsewhere", lease("kube-system", "update", leader), false},
		{"asks who reads the metrics", authorizationv1.ResourceAttributes{
			Verb: "create", Group: "authentication.k8s.io", Resource: "tokenreviews",
		}, true},
		{"asks whether that one may", authorizationv1.ResourceAttributes{
			Verb: "create", Group: "authorization.k8s.io", Resource: "subjectaccessreviews",
		}, true},
		{"starts no pods", authorizationv1.ResourceAttributes{Namespace: system, Verb: "create", Resource: "pods"}, false},
		{"changes no rights", authorizationv1.ResourceAttributes{
			Verb: "patch", Group: "rbac.authorization.k8s.io", Resource: "clusterroles",
		}, false},
	} {
		t.Run(test.reason, func(t *testing.T) {
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User:               "system:serviceaccount:" + system + ":" + account,
				Groups:             []string{"system:serviceaccounts", "system:authenticated"},
				ResourceAttributes: &test.asked,
			}}
			if err := kube.Create(t.Context(), review); err != nil {
				t.Fatal(err)
			}
			if review.Status.Allowed != test.want {
				t.Errorf("allowed: %t, want %t (%s)", review.Status.Allowed, test.want, review.Status.Reason)
			}
		})
	}
}
