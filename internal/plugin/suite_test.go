package plugin

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/apiservertest"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// What all tests share: an API server with the CRDs, and a kubeconfig of its administrator.
var (
	kube       client.Client
	kubeconfig string
)

const (
	john, maria = "user_abc123def", "158a190e-c4a9-4e6c-bf9b-4ef74ae345eb"
	cust, doxd  = "cust_789xyz", "DoxdEEV-4IJq-zKeUYqrtqVDK"
	login       = "operator@example.com"
	password    = "canary-password"
)

// now is when all commands run.
var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	environment := &envtest.Environment{CRDDirectoryPaths: []string{"../../config/crd/bases"}, ErrorIfCRDPathMissing: true}
	directory, err := os.MkdirTemp("", "clientbindings-plugin-")
	if err != nil {
		panic(err)
	}
	kubeconfig = filepath.Join(directory, "kubeconfig")
	code := apiservertest.Run(m, environment, prepare)
	_ = os.RemoveAll(directory)
	os.Exit(code)
}

func prepare(cluster *rest.Config) (err error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	if kube, err = client.New(cluster, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: cluster.Host, CertificateAuthorityData: cluster.CAData}
	config.AuthInfos["test"] = &clientcmdapi.AuthInfo{ClientCertificateData: cluster.CertData, ClientKeyData: cluster.KeyData}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test"}
	config.CurrentContext = "test"
	return clientcmd.WriteToFile(*config, kubeconfig)
}

// tenant is a namespace of its own, and a platform of its own to which the APIConnection default leads.
type tenant struct {
	*delossim.Server
	namespace, url string
}

func newTenant(t *testing.T, config delossim.Config) *tenant {
	t.Helper()
	config.Accounts = append(config.Accounts, delossim.Account{Login: login, Password: password})
	n := &tenant{Server: delossim.New(config)}
	server := httptest.NewServer(n.Server)
	t.Cleanup(server.Close)
	t.Cleanup(n.Close)
	n.url = server.URL
	n.namespace = newNamespace(t)
	create(t, &corev1.Secret{ObjectMeta: n.meta("delos"), StringData: map[string]string{"login": login, "password": password}})
	connection := &v1alpha1.APIConnection{ObjectMeta: n.meta("default")}
	connection.Spec.URL, connection.Spec.Credentials.SecretRef.Name = n.url, "delos"
	create(t, connection)
	return n
}

func (n *tenant) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: n.namespace, Name: name}
}

func create(t *testing.T, object client.Object) {
	t.Helper()
	if err := kube.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

// newNamespace makes a namespace without an APIConnection.
func newNamespace(t *testing.T) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "team-"}}
	create(t, namespace)
	return namespace.Name
}

// allowNamespaces lets bindings of other namespaces use the tenant's connection.
func (n *tenant) allowNamespaces(t *testing.T, namespaces v1alpha1.AllowedNamespaces) {
	t.Helper()
	connection := &v1alpha1.APIConnection{}
	if err := kube.Get(t.Context(), key{Namespace: n.namespace, Name: "default"}, connection); err != nil {
		t.Fatal(err)
	}
	connection.Spec.Allowed = &v1alpha1.Allowed{Namespaces: &namespaces}
	if err := kube.Update(t.Context(), connection); err != nil {
		t.Fatal(err)
	}
}

// own are the caller's own credentials, for --url.
var own = map[string]string{"DELOS_LOGIN": login, "DELOS_PASSWORD": password}

// view gives a user the ClusterRole for people who may read both kinds, in all namespaces.
func view(t *testing.T, user string) {
	t.Helper()
	text, err := os.ReadFile("../../config/rbac/viewer_role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.UnmarshalStrict(text, role); err != nil {
		t.Fatal(err)
	}
	role.Name = user
	create(t, role)
	create(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user},
		RoleRef:    rbacv1.RoleRef{Kind: "ClusterRole", Name: user},
		Subjects:   []rbacv1.Subject{{Kind: "User", Name: user}},
	})
}

// allow lets a user read all of a namespace.
func allow(t *testing.T, namespace, user string) {
	t.Helper()
	permit(t, namespace, user, []string{"*"}, "get", "list")
}

// permit gives a user a Role in a namespace.
func permit(t *testing.T, namespace, user string, resources []string, verbs ...string) {
	t.Helper()
	create(t, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: user},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"", v1alpha1.GroupVersion.Group}, Resources: resources, Verbs: verbs}},
	})
	create(t, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: user},
		RoleRef:    rbacv1.RoleRef{Kind: "Role", Name: user},
		Subjects:   []rbacv1.Subject{{Kind: "User", Name: user}},
	})
}

// result is what a command came to.
type result struct {
	Out  string
	Code int
}

// run runs a command against the tenant's namespace and connection.
func (n *tenant) run(t *testing.T, arguments ...string) result {
	t.Helper()
	got, said := n.runWith(t.Context(), nil, arguments...)
	if got.Code == exitFailed {
		got.Out += said
	}
	return got
}

// runWith returns also what a command said to those who wait.
func (n *tenant) runWith(ctx context.Context, environment map[string]string, arguments ...string) (got result, said string) {
	var out, errOut bytes.Buffer
	program := Program{
		Streams: genericiooptions.IOStreams{In: strings.NewReader(environment["stdin"]), Out: &out, ErrOut: &errOut},
		Version: "test",
		Now:     func() time.Time { return now },
		Getenv:  func(name string) string { return environment[name] },
	}
	if arguments[0] == "__complete" {
		// What is completed comes last.
	} else if arguments = append(arguments, "--kubeconfig", kubeconfig, "--namespace", n.namespace); arguments[0] != "status" && !slices.Contains(arguments, "--allowed-api-hosts") {
		arguments = append(arguments, "--allowed-api-hosts", "127.0.0.1")
	}
	got.Code = Run(ctx, program, arguments)
	got.Out = n.masked(out.String())
	return got, n.masked(errOut.String())
}

// masked has words in the place of what differs from run to run.
func (n *tenant) masked(text string) string {
	text = strings.ReplaceAll(text, strings.TrimPrefix(n.url, "http://"), "HOST")
	return strings.ReplaceAll(text, n.namespace, "NAMESPACE")
}

func expect(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// files are the contents of a directory, by name.
func (n *tenant) files(t *testing.T, directory string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(directory, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found[entry.Name()] = n.masked(string(content))
	}
	return found
}

// crowd are users with relations to some clients.
func crowd(users int) (made []delossim.User) {
	for i := range users {
		made = append(made, delossim.User{
			UUID: fmt.Sprintf("user_%05d", i), Username: fmt.Sprintf("user.%d", i),
			Relations: map[string]bool{fmt.Sprintf("cust_%d", i%100): i < 100, fmt.Sprintf("cust_%d", (i+37)%100): false},
		})
	}
	return made
}
