package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/controller"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// procedure is a block of commands of docs/operations.md, with its roles.
type procedure struct {
	heading string
	// roles are the ClusterRoles that it takes, bound in where: NS, another namespace, or all namespaces.
	roles  []string
	where  string
	script string
}

const (
	operationsPage = "docs/operations.md"
	// named replaces NAME. The ClientBinding and the APIConnection have this name.
	named = v1alpha1.DefaultConnectionName
	// john and acme are the user and the client of the document.
	john, acme = "user_abc123def", "cust_789xyz"
)

// successor is the account to which the credentials are rotated.
var successor = delossim.Account{Login: "operator-2@example.com", Password: "staple-battery-horse"}

// notTried are the commands that need more than a control plane, and why.
var notTried = map[string]string{
	"kubectl logs": "there are no nodes, and so no pods",
	"make deploy":  "there is no registry for the image; what it applies is installed here, and the rest of its block waits for pods",
}

// inline are the commands within sentences and tables, and the roles that they take in the namespace; "" where no
// command is meant to be typed.
var inline = map[string]string{
	`kubectl patch cb NAME -n NS --type=merge -p '{"spec":{"suspend":false}}'`:                                             "clientbinding-operator-requester and clientbinding-operator-standard-granter in NS",
	`kubectl get apiconn -A -o wide`:                                                                                       "clientbinding-operator-viewer in all namespaces",
	`kubectl describe apiconn NAME -n NS`:                                                                                  "view in NS",
	`kubectl get cb NAME -n NS -o jsonpath='{.status.claim.connection.host}'`:                                              "clientbinding-operator-viewer in NS",
	`kubectl get apiconn NAME -n NS -o jsonpath='{.spec.allowed}'`:                                                         "clientbinding-operator-viewer in NS",
	`kubectl get cb -n NS -o custom-columns=NAME:.metadata.name,USER:.spec.userUUID,CLIENT:.spec.cuid,OWNER:.spec.isOwner`: "clientbinding-operator-viewer in NS",
	`kubectl apply -f config/rbac/role.yaml -f config/rbac/role_binding.yaml`:                                              "cluster-admin in all namespaces",
	`kubectl replace`: "", `kubectl apply`: "", `kubectl patch`: "", `kubectl delete namespace`: "",
	`kubectl clientbindings report`: "", // TestAdopting types it
}

// procedures reads all blocks of a page, and of docs/operations.md the inline commands.
func procedures(t *testing.T, page string) (found []procedure) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root(t), page))
	if err != nil {
		t.Fatal(err)
	}
	var (
		asWhom  = regexp.MustCompile(`^# as ([a-z -]+) in (NS|[a-z-]+|all namespaces)$`)
		span    = regexp.MustCompile("`(kubectl [^`]+)`")
		heading string
		block   []string
		inside  bool
		unused  = map[string]bool{}
	)
	add := func(as, script string) {
		who := asWhom.FindStringSubmatch(as)
		if who == nil {
			t.Fatalf("under %q: the first line of a block has to say as whom, as in %q, and not %q", heading, "# as view in NS", as)
		}
		found = append(found, procedure{heading, strings.Split(who[1], " and "), who[2], script})
	}
	if page == operationsPage {
		for command := range inline {
			unused[command] = true
		}
	}
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "```sh":
			inside, block = true, nil
		case line == "```" && inside:
			inside = false
			add(block[0], strings.Join(block[1:], "\n"))
		case inside:
			block = append(block, line)
		case strings.HasPrefix(line, "#"):
			heading = strings.TrimLeft(line, "# ")
		case page == operationsPage:
			for _, match := range span.FindAllStringSubmatch(line, -1) {
				as, known := inline[match[1]]
				if !known {
					t.Errorf("under %q: nothing says as whom to try %q", heading, match[1])
				} else if as != "" {
					add("# as "+as, match[1])
				}
				delete(unused, match[1])
			}
		}
	}
	for command := range unused {
		t.Errorf("%s no longer has %q", page, command)
	}
	return found
}

// special has the preparation and the check of procedures that contain a text.
var special = map[string]struct {
	// before brings the namespace into the state for the procedure.
	before func(*testing.T, *tenant)
	// after says that the procedure has not had its effect yet; "" when it has.
	after func(*testing.T, *tenant) string
}{
	"kubectl create rolebinding": {before: func(t *testing.T, n *tenant) {
		given := &rbacv1.RoleBinding{ObjectMeta: n.Meta(controller.CredentialsRole)}
		free := sandbox.MergePatch(`{"metadata":{"finalizers":null}}`)
		if err := errors.Join(kube.Patch(t.Context(), given, free), client.IgnoreNotFound(kube.Delete(t.Context(), given))); err != nil {
			t.Fatal(err)
		}
	}},
	"kubectl replace": {
		before: func(_ *testing.T, n *tenant) { n.Platform.AddAccount(successor) },
		after: func(t *testing.T, n *tenant) string {
			secret := &corev1.Secret{}
			if err := kube.Get(t.Context(), client.ObjectKey{Namespace: n.Namespace, Name: secretName}, secret); err != nil {
				t.Fatal(err)
			}
			return sandbox.First(cmp.Diff([]string{v1alpha1.InUseFinalizer}, secret.Finalizers), n.uses(t, secret))
		},
	},
	`"deletionPolicy":"Orphan"`: {after: func(t *testing.T, n *tenant) string {
		if _, related := n.Platform.Relations(john)[acme]; !related {
			t.Fatal("the access was revoked")
		}
		return n.gone(t, named)
	}},
	"kubectl get lease": {before: func(t *testing.T, _ *tenant) {
		// The operator of this test runs without a leader election, so it has no Lease.
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: operatorName + ".access.delos.financial"}}
		if err := kube.Create(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := kube.Delete(context.WithoutCancel(t.Context()), lease); err != nil {
				t.Error(err)
			}
		})
	}},
	"grep RevocationHeld": {before: func(t *testing.T, n *tenant) { n.hold(t) }},
	"approvedRevocations": {
		before: func(t *testing.T, n *tenant) { n.hold(t) },
		after:  func(t *testing.T, n *tenant) string { return n.gone(t, named) },
	},
}

// hold deletes the binding while its connection lets no revocation through.
func (n *tenant) hold(t *testing.T) {
	t.Helper()
	n.brake(t, `{"max":0,"per":"1h"}`)
	if err := kube.Delete(t.Context(), n.Binding(named, "", "", false)); err != nil {
		t.Fatal(err)
	}
	sandbox.Within(t, 20*time.Second, func() string {
		found := &v1alpha1.ClientBinding{}
		if err := kube.Get(t.Context(), client.ObjectKey{Namespace: n.Namespace, Name: named}, found); err != nil {
			t.Fatal(err)
		}
		return sandbox.NotReady(found, found.Status.Conditions, metav1.ConditionFalse, v1alpha1.ReasonRevocationHeld)
	})
}

// brake sets the revocations of the connection, and waits until the operator has seen it.
func (n *tenant) brake(t *testing.T, revocations string) {
	t.Helper()
	connection := n.connection("")
	n.Patch(t, connection, `{"spec":{"revocations":%s}}`, revocations)
	sandbox.Within(t, 20*time.Second, func() string {
		if err := kube.Get(t.Context(), client.ObjectKeyFromObject(connection), connection); err != nil {
			t.Fatal(err)
		}
		return sandbox.NotReady(connection, connection.Status.Conditions, metav1.ConditionTrue, v1alpha1.ReasonLoggedIn)
	})
}

// TestOperationsByTheBook runs the commands of docs/operations.md and the pages of the kinds, with only the roles that they name.
func TestOperationsByTheBook(t *testing.T) {
	runAlone(t)
	sandbox.Within(t, 30*time.Second, func() string { // until Kubernetes' own roles have their rights
		if len(rulesOfRole(t, "edit")) == 0 {
			return "the ClusterRole edit is empty"
		}
		return ""
	})
	unneeded := maps.Clone(notTried)
	for i, p := range slices.Concat(procedures(t, operationsPage), procedures(t, "docs/clientbinding.md"), procedures(t, "docs/apiconnection.md")) {
		skipped := false
		for command := range notTried {
			if strings.Contains(p.script, command) {
				delete(unneeded, command)
				skipped = true
			}
		}
		if skipped {
			continue
		}
		t.Run(fmt.Sprintf("%d %s", i, p.heading), func(t *testing.T) {
			n := newTenant(t, delossim.Config{Users: []delossim.User{{UUID: john}}, Clients: []string{acme}})
			n.connect(t)
			create(t, n.Binding(named, john, acme, false))
			sandbox.Within(t, 20*time.Second, func() string { return n.Unbound(t, named) })
			t.Cleanup(func() { n.leave(t) })
			for part, about := range special {
				if strings.Contains(p.script, part) {
					if about.before != nil {
						about.before(t, n)
					}
					if about.after != nil {
						defer sandbox.Within(t, 20*time.Second, func() string { return about.after(t, n) })
					}
				}
			}
			n.play(t, p)
		})
	}
	for command := range unneeded {
		t.Errorf("docs/operations.md no longer has %q", command)
	}
}

// leave revokes all access while the operator and the platform run.
func (n *tenant) leave(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	patch := sandbox.MergePatch(`{"spec":{"revocations":null}}`)
	err := kube.Patch(ctx, n.connection(""), patch)
	if err = errors.Join(err, client.IgnoreNotFound(kube.Delete(ctx, n.Binding(named, "", "", false)))); err != nil {
		t.Error(err)
	}
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 20*time.Second, true, func(ctx context.Context) (bool, error) {
		err := kube.Get(ctx, client.ObjectKey{Namespace: n.Namespace, Name: named}, &v1alpha1.ClientBinding{})
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
	if err != nil {
		t.Errorf("%s does not go: %v", named, err)
	}
}

// play runs a procedure as an account with its roles.
func (n *tenant) play(t *testing.T, p procedure) {
	t.Helper()
	directory := t.TempDir()
	kubeconfig := filepath.Join(directory, "kubeconfig")
	if err := client.IgnoreAlreadyExists(kube.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: n.Meta("on-call")})); err != nil {
		t.Fatal(err)
	}
	if err := cluster.ServiceAccountKubeconfig(t.Context(), n.Namespace, "on-call", kubeconfig); err != nil {
		t.Fatal(err)
	}
	for _, role := range p.roles {
		n.bind(t, "on-call", role, p.where)
	}
	// The procedures ask about this account, which may give access.
	n.bind(t, "lead", operatorName+"-owner-granter", "NS")
	for name, content := range map[string]string{"login": successor.Login + "\n", "password": successor.Password + "\n"} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(root(t), "config"), filepath.Join(directory, "config")); err != nil {
		t.Fatal(err)
	}

	script := p.script
	for placeholder, value := range map[string]string{
		"NS": n.Namespace, "NAME": named, "CLIENT": acme, "USER": serviceAccount(n.Namespace, "lead"),
	} {
		// With a colon it is the heading of a column.
		script = regexp.MustCompile(`\b`+placeholder+`\b([^:]|$)`).ReplaceAllString(script, value+"$1")
	}
	command := exec.CommandContext(t.Context(), "sh", "-ec", script)
	command.Dir = directory
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "HOME="+directory, "PATH="+cluster.Assets+":"+os.Getenv("PATH"))
	out, err := command.CombinedOutput()
	if err != nil || strings.Contains(string(out), "orbidden") {
		t.Errorf("as %s in %s: %v\n%s\n%s", strings.Join(p.roles, " and "), p.where, err, script, out)
	}
}

func serviceAccount(namespace, name string) string {
	return "system:serviceaccount:" + namespace + ":" + name
}

// bind gives a ServiceAccount a ClusterRole, and waits until it has its rights.
func (n *tenant) bind(t *testing.T, name, role, where string) {
	t.Helper()
	reference := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}
	subjects := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: n.Namespace, Name: name}}
	meta := metav1.ObjectMeta{GenerateName: "by-the-book-", Namespace: where}
	var binding client.Object = &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: reference, Subjects: subjects}
	switch where {
	case "NS":
		meta.Namespace = n.Namespace
		binding.SetNamespace(n.Namespace)
	case "all namespaces":
		meta.Namespace = ""
		binding = &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: reference, Subjects: subjects}
	}
	create(t, binding)
	t.Cleanup(func() {
		if err := kube.Delete(context.WithoutCancel(t.Context()), binding); err != nil {
			t.Error(err)
		}
	})
	rules := rulesOfRole(t, role)
	i := slices.IndexFunc(rules, func(rule rbacv1.PolicyRule) bool { return len(rule.Resources) > 0 })
	if i < 0 {
		t.Fatalf("the ClusterRole %s has no rules", role)
	}
	resource, subresource, _ := strings.Cut(rules[i].Resources[0], "/")
	sandbox.Within(t, 10*time.Second, func() string {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: serviceAccount(n.Namespace, name),
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: meta.Namespace, Verb: rules[i].Verbs[0], Group: rules[i].APIGroups[0], Resource: resource, Subresource: subresource,
			},
		}}
		if err := kube.Create(t.Context(), review); err != nil {
			t.Fatal(err)
		}
		if !review.Status.Allowed {
			return name + " does not have the role " + role + " yet"
		}
		return ""
	})
}

func rulesOfRole(t *testing.T, name string) []rbacv1.PolicyRule {
	t.Helper()
	role := &rbacv1.ClusterRole{}
	if err := kube.Get(t.Context(), client.ObjectKey{Name: name}, role); err != nil {
		t.Fatal(err)
	}
	return role.Rules
}

// root is the top directory of this repository.
func root(t *testing.T) string {
	t.Helper()
	directory, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return directory
}
