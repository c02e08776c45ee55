package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	systemNamespace = "clientbinding-system"
	operatorName    = "clientbinding-operator"
	credentialsRole = operatorName + "-credentials"
)

// right is one verb of one rule of one of the operator's roles.
type right struct {
	// of is the role: a *rbacv1.ClusterRole or a *rbacv1.Role.
	of                    client.Object
	rule                  int
	group, resource, verb string
	// namespace is where the role is bound; "" for everywhere.
	namespace string
}

func (r right) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", r.verb, r.resource, r.group))
}

// refusal is the API server's message to an operator that lacks the right.
func (r right) refusal() string {
	switch {
	case r.resource == "rolebindings":
		return fmt.Sprintf(`"roleBinding":%q,"verb":%q`, credentialsRole, r.verb)
	case r.resource == "secrets" && r.verb == "patch":
		// The operator asks the API server before it tries.
		return "the verb patch is missing"
	case r.verb == "release":
		// An admission policy asks for the verb.
		return "needs the verb release on " + r.resource
	}
	return fmt.Sprintf("cannot %s resource %q in API group %q", r.verb, r.resource, r.group)
}

// rights are all rights of the operator's installed roles.
func rights(t *testing.T) []right {
	t.Helper()
	somewhere := newTenant(t, crowd()).Namespace
	var found []right
	for _, role := range []client.Object{
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: operatorName}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: credentialsRole}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: operatorName + "-metrics-auth"}},
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: operatorName + "-leader-election"}},
	} {
		if err := kube.Get(t.Context(), client.ObjectKeyFromObject(role), role); err != nil {
			t.Fatal(err)
		}
		for i, rule := range *rulesOf(role) {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						one := right{of: role, rule: i, group: group, resource: resource, verb: verb, namespace: role.GetNamespace()}
						if role.GetName() == credentialsRole {
							one.namespace = somewhere
						}
						found = append(found, one)
					}
				}
			}
		}
	}
	return found
}

func rulesOf(role client.Object) *[]rbacv1.PolicyRule {
	switch role := role.(type) {
	case *rbacv1.ClusterRole:
		return &role.Rules
	case *rbacv1.Role:
		return &role.Rules
	default:
		panic(fmt.Sprintf("%T is no role", role))
	}
}

// drop removes a right of the operator until the end of the test.
func (r right) drop(t *testing.T) {
	t.Helper()
	role := r.of.DeepCopyObject().(client.Object)
	rules := rulesOf(role)
	rest := (*rules)[r.rule].DeepCopy()
	alone := rest.DeepCopy()
	rest.Resources = slices.DeleteFunc(rest.Resources, func(resource string) bool { return resource == r.resource })
	alone.Resources = []string{r.resource}
	alone.Verbs = slices.DeleteFunc(alone.Verbs, func(verb string) bool { return verb == r.verb })
	*rules = slices.Delete(slices.Clone(*rules), r.rule, r.rule+1)
	for _, rule := range []*rbacv1.PolicyRule{rest, alone} {
		if len(rule.Resources) > 0 && len(rule.Verbs) > 0 {
			*rules = append(*rules, *rule)
		}
	}
	r.write(t, *rules)
	t.Cleanup(func() { r.write(t, *rulesOf(r.of)) })
	sandbox.Within(t, 10*time.Second, func() string {
		if r.held(t) {
			return "the operator still may " + r.String()
		}
		return ""
	})
}

func (r right) write(t *testing.T, rules []rbacv1.PolicyRule) {
	t.Helper()
	role := r.of.DeepCopyObject().(client.Object)
	role.SetResourceVersion("")
	role.SetManagedFields(nil)
	*rulesOf(role) = rules
	if err := kube.Update(context.WithoutCancel(t.Context()), role); err != nil {
		t.Fatal(err)
	}
}

// held asks the API server whether the operator has the right.
func (r right) held(t *testing.T) bool {
	t.Helper()
	resource, subresource, _ := strings.Cut(r.resource, "/")
	rule := (*rulesOf(r.of))[r.rule]
	asked := &authorizationv1.ResourceAttributes{
		Namespace: r.namespace, Group: r.group, Resource: resource, Subresource: subresource, Verb: r.verb,
	}
	if len(rule.ResourceNames) > 0 {
		asked.Name = rule.ResourceNames[0]
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:" + systemNamespace + ":" + operatorName,
		Groups:             []string{"system:authenticated", "system:serviceaccounts", "system:serviceaccounts:" + systemNamespace},
		ResourceAttributes: asked,
	}}
	if err := kube.Create(t.Context(), review); err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

// TestEveryRightIsNeeded runs the operator through the life of a binding, once with all its rights and once without
// each of them. With all rights no request is refused, and without one right only its request is refused.
func TestEveryRightIsNeeded(t *testing.T) {
	all := rights(t)
	if len(all) < 20 {
		t.Fatalf("found %d rights, which are not all", len(all))
	}
	t.Run("all of them", func(t *testing.T) {
		aside := startAside(t)
		if line := leadThrough(t, aside, func(log string) string { return lineWith(log, "is forbidden") }); line != "" {
			t.Error("the operator was refused something: " + line)
		}
	})
	for _, dropped := range all {
		t.Run(dropped.String(), func(t *testing.T) {
			dropped.drop(t)
			aside := startAside(t)
			if line := leadThrough(t, aside, func(log string) string { return anyLineWith(log, dropped.refusal()) }); line == "" {
				t.Errorf("the operator does without: nothing says %q", dropped.refusal())
			}
		})
	}
}

// startAside starts an operator like the shared one, with its own log, because its refusals are expected. It starts as on a new
// cluster without a Lease, and does not send lists as a stream, which needs the verb watch.
func startAside(t *testing.T) *sandbox.Operator {
	t.Helper()
	endLead := func() error {
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: operatorName + ".access.delos.financial"}}
		return client.IgnoreNotFound(kube.Delete(context.WithoutCancel(t.Context()), lease))
	}
	if err := endLead(); err != nil {
		t.Fatal(err)
	}
	aside := operator.Aside(filepath.Join(t.TempDir(), "operator.log"), "KUBE_FEATURE_WatchListClient=false")
	t.Cleanup(func() {
		// Without its rights it may not end by itself, and the next process would wait until its Lease runs out.
		if err := errors.Join(aside.Kill(), endLead()); err != nil {
			t.Error(err)
		}
	})
	// It is not ready without the rights to see its objects.
	if _, err := aside.StartAlive(t.Context(), verbose, "--metrics-bind-address="+metricsAddress); err != nil {
		t.Fatal(err)
	}
	return aside
}

// leadThrough leads a binding through its life: granted, removed from outside twice, scraped by Prometheus, and
// deleted with its connection and Secret. It returns as soon as the log has the wanted text.
func leadThrough(t *testing.T, aside *sandbox.Operator, watch func(log string) string) (seen string) {
	t.Helper()
	n := newTenant(t, crowd())
	user, cuid := crowd().Users[0].UUID, crowd().Clients[0]
	n.connect(t)
	create(t, n.Binding("cb", user, cuid, false))
	t.Cleanup(func() {
		// Or it would set the finalizer again.
		if err := aside.Kill(); err != nil {
			t.Error(err)
		}
		n.forget(t, "cb")
	})
	until := func(problem func() string) (over bool) {
		sandbox.Within(t, 30*time.Second, func() string {
			log, err := aside.Log()
			if err != nil {
				return err.Error()
			}
			// The lines are JSON, in which quotes are escaped.
			if seen = watch(strings.ReplaceAll(log, `\"`, `"`)); seen != "" {
				return ""
			}
			return problem()
		})
		return seen != ""
	}
	if until(func() string { return n.Unbound(t, "cb") }) {
		return seen
	}
	for round := range 2 {
		n.Platform.RemoveRelation(user, cuid)
		n.ask(t, "cb", fmt.Sprintf("round %d", round))
		if until(func() string {
			return sandbox.First(n.asked(t, "cb", fmt.Sprintf("round %d", round)), n.Unbound(t, "cb"))
		}) {
			return seen
		}
	}
	token := n.metricsReader(t)
	if until(func() string {
		if _, _, err := tryScrape(t, token); err != nil {
			return err.Error()
		}
		return ""
	}) {
		return seen
	}
	// The binding last: the others wait for it, and are let go while they are being deleted.
	all := []client.Object{n.secret(nil), n.connection(n.Platform.URL), n.Binding("cb", user, cuid, false)}
	for _, object := range all {
		if err := kube.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	for _, object := range all {
		if until(func() string { return n.remains(t, object) }) {
			return seen
		}
	}
	// Some refusals are logged a moment later.
	_ = until(func() string { return "" })
	return seen
}

// forget removes a binding that an operator without its rights could not let go. A later test may get the same port for
// its platform, and would find another holder of the relation.
func (n *tenant) forget(t *testing.T, name string) {
	t.Helper()
	ctx, left := context.WithoutCancel(t.Context()), &v1alpha1.ClientBinding{ObjectMeta: n.Meta(name)}
	err := kube.Patch(ctx, left, sandbox.MergePatch(`{"metadata":{"finalizers":null}}`))
	if err == nil {
		err = kube.Delete(ctx, left)
	}
	if client.IgnoreNotFound(err) != nil {
		t.Error(err)
	}
}

// ask asks for a look at a binding, and asked says whether it was taken.
func (n *tenant) ask(t *testing.T, name, request string) {
	t.Helper()
	n.Patch(t, n.Binding(name, "", "", false), `{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.RequestedAtAnnotation, request)
}

func (n *tenant) asked(t *testing.T, name, request string) string {
	t.Helper()
	binding := &v1alpha1.ClientBinding{}
	if err := n.Kube.Get(t.Context(), client.ObjectKey{Namespace: n.Namespace, Name: name}, binding); err != nil {
		t.Fatal(err)
	}
	if got := binding.Status.LastHandledRequestedAt; got != request {
		return fmt.Sprintf("asked for %q, and handled %q", request, got)
	}
	return ""
}

// remains says that an object still exists; "" when it does not.
func (n *tenant) remains(t *testing.T, object client.Object) string {
	t.Helper()
	err := n.Kube.Get(t.Context(), client.ObjectKeyFromObject(object), object)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%T %s is still there, with the finalizers %q", object, object.GetName(), object.GetFinalizers())
}
