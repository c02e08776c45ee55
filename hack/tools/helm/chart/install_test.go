package chart_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/kube"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// cluster is a real API server. There are no controllers and no pods.
type cluster struct {
	client.Client
	helm *action.Configuration
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal(`this test needs an API server: run "make test-chart", or export KUBEBUILDER_ASSETS="$(go run ./hack/controlplane)"`)
	}
	environment := &envtest.Environment{}
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Error(err)
		}
	})
	if _, err := environment.Start(); err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, environment.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	flags := genericclioptions.NewConfigFlags(false)
	flags.KubeConfig, flags.Namespace = &kubeconfig, ptr.To(system)
	kube.ManagedFieldsManager = "helm" // as the command does
	helm := action.NewConfiguration()
	if err := helm.Init(flags, system, "secret"); err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	reader, err := client.New(environment.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{Client: reader, helm: helm}
	for _, name := range []string{system, "platform"} {
		namespace := &corev1.Namespace{}
		namespace.Name = name
		if err := c.Create(t.Context(), namespace); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *cluster) install(t *testing.T, text string) {
	t.Helper()
	install := action.NewInstall(c.helm)
	install.ReleaseName, install.Namespace, install.WaitStrategy = release, system, kube.HookOnlyStrategy
	if _, err := install.RunWithContext(t.Context(), load(t), values(t, text)); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) upgrade(t *testing.T, text string) {
	t.Helper()
	if err := c.tryUpgrade(t, text); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) tryUpgrade(t *testing.T, text string) error {
	t.Helper()
	upgrade := action.NewUpgrade(c.helm)
	upgrade.Namespace, upgrade.WaitStrategy, upgrade.ServerSideApply = system, kube.HookOnlyStrategy, "auto"
	_, err := upgrade.RunWithContext(t.Context(), release, load(t), values(t, text))
	return err
}

// apply does what `kubectl apply --server-side --force-conflicts` does.
func (c *cluster) apply(t *testing.T, object *unstructured.Unstructured, manager client.FieldOwner) {
	t.Helper()
	if err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), manager, client.ForceOwnership); err != nil {
		t.Fatal(err)
	}
}

// applyOlder applies an older form of the CRD of ClientBindings.
func (c *cluster) applyOlder(t *testing.T, manager client.FieldOwner) {
	t.Helper()
	older := crds(t)["CustomResourceDefinition /clientbindings.access.delos.financial"]
	versions, _, err := unstructured.NestedSlice(older.Object, "spec", "versions")
	if err != nil {
		t.Fatal(err)
	}
	newField := []string{"schema", "openAPIV3Schema", "properties", "spec", "properties", "justification"}
	version, _ := versions[0].(map[string]any)
	if _, found, err := unstructured.NestedMap(version, newField...); err != nil || !found {
		t.Fatalf("the CRD has no such field: %v", err)
	}
	unstructured.RemoveNestedField(version, newField...)
	if err := unstructured.SetNestedSlice(older.Object, versions, "spec", "versions"); err != nil {
		t.Fatal(err)
	}
	c.apply(t, older, manager)
}

// crds are the CRDs of the chart.
func crds(t *testing.T) objects {
	t.Helper()
	found := objects{}
	for _, crd := range load(t).CRDObjects() {
		found.add(t, string(crd.File.Data))
	}
	return found
}

func (c *cluster) uninstall(t *testing.T) {
	t.Helper()
	uninstall := action.NewUninstall(c.helm)
	uninstall.WaitStrategy = kube.HookOnlyStrategy
	if _, err := uninstall.Run(release); err != nil {
		t.Fatal(err)
	}
}

// identities returns the uid of each object, to see whether it was replaced; "" for a missing object.
func (c *cluster) identities(t *testing.T, asked map[string]client.Object) map[string]string {
	t.Helper()
	found := map[string]string{}
	for name, object := range asked {
		err := c.Get(t.Context(), client.ObjectKeyFromObject(object), object)
		switch {
		case apierrors.IsNotFound(err):
			found[name] = ""
		case err != nil:
			t.Fatal(err)
		case object.GetDeletionTimestamp() != nil:
			found[name] = "is being deleted"
		default:
			found[name] = string(object.GetUID())
		}
	}
	return found
}

func ours(kind, namespace, name string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetAPIVersion("access.delos.financial/v1alpha1")
	object.SetKind(kind)
	object.SetNamespace(namespace)
	object.SetName(name)
	return object
}

const withConnection = `
connections:
- namespace: platform
  name: delos
  credentialsRoleBinding: true
  spec:
    url: https://stagep.tst-apidmndelss.com
    credentials:
      secretRef:
        name: delos-credentials
`

// TestLife installs, upgrades and uninstalls, and installs once more. CRDs, connections and ClientBindings outlive all of it.
func TestLife(t *testing.T) {
	c := startCluster(t)
	c.install(t, withConnection)

	binding := ours("ClientBinding", "platform", "mine")
	binding.Object["spec"] = map[string]any{"userUUID": "user_1", "cuid": "cust_1", "isOwner": true}
	// Its mutating policies know a new kind some seconds after the API server serves it.
	if err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		err := c.Create(ctx, binding)
		if apierrors.IsServiceUnavailable(err) {
			return false, nil
		}
		return true, err
	}); err != nil {
		t.Fatal(err)
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	crd.Name = "clientbindings.access.delos.financial"
	deployment, credentials := &appsv1.Deployment{}, &rbacv1.RoleBinding{}
	deployment.Namespace, deployment.Name = system, "clientbinding-operator"
	credentials.Namespace, credentials.Name = "platform", "clientbinding-operator-credentials"
	asked := map[string]client.Object{
		"CRD": crd, "binding": binding, "connection": ours("APIConnection", "platform", "delos"),
		"credentials": credentials, "Deployment": deployment,
	}
	installed := c.identities(t, asked)
	for name, identity := range installed {
		if identity == "" {
			t.Errorf("after the installation there is no %s", name)
		}
	}
	current := crd.Spec.DeepCopy()

	c.applyOlder(t, "helm")
	c.upgrade(t, "connections: []")
	if diff := cmp.Diff(installed, c.identities(t, asked)); diff != "" {
		t.Errorf("after an upgrade that no longer has the connection: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(current, &crd.Spec); diff != "" {
		t.Errorf("the upgrade left another CRD: -want +got:\n%s", diff)
	}

	c.applyOlder(t, "kubectl")
	if err := c.tryUpgrade(t, ""); err == nil || !strings.Contains(err.Error(), `conflict with "kubectl"`) {
		t.Errorf("upgrading a CRD that another tool has applied: %v", err)
	}
	for _, crd := range crds(t) { // what docs/install.md says then
		c.apply(t, crd, "helm")
	}
	c.upgrade(t, "")
	if diff := cmp.Diff(installed, c.identities(t, asked)); diff != "" {
		t.Errorf("after a conflict: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(current, &crd.Spec); diff != "" {
		t.Errorf("the upgrade after a conflict left another CRD: -want +got:\n%s", diff)
	}

	c.uninstall(t)
	left := map[string]string{}
	for name, identity := range installed {
		left[name] = identity
	}
	left["Deployment"] = ""
	if diff := cmp.Diff(left, c.identities(t, asked)); diff != "" {
		t.Errorf("after the uninstallation: -want +got:\n%s", diff)
	}

	c.install(t, withConnection)
	delete(asked, "Deployment")
	delete(left, "Deployment")
	if diff := cmp.Diff(left, c.identities(t, asked)); diff != "" {
		t.Errorf("after another installation: -want +got:\n%s", diff)
	}
	if generation := binding.GetGeneration(); generation != 1 {
		t.Errorf("the binding was written: its generation is %d", generation)
	}
}

// TestInstallerIsConfigDefault: the one manifest has the same objects as the chart and kustomize, with the requested image.
func TestInstallerIsConfigDefault(t *testing.T) {
	const image = "ghcr.io/delos-financial/clientbinding-operator:v9.8.7"
	build := exec.CommandContext(t.Context(), "make", "-C", root, "--no-print-directory", "build-installer", "IMG="+image)
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	manifest, err := os.ReadFile(filepath.Join(root, "dist/install.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	got := objects{}
	got.add(t, strings.TrimSuffix(string(manifest), "\n"))
	if _, there := got["Namespace /"+system]; !there {
		t.Errorf("the manifest does not make the namespace %s", system)
	}
	if diff := cmp.Diff(normalized(t, installed(t, "image: {tag: v9.8.7}")), normalized(t, got)); diff != "" {
		t.Errorf("-chart +install.yaml:\n%s", diff)
	}
}
