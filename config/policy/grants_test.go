package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// refusal is the API server's answer when a policy refuses a write.
func refusal(object client.Object, policy, message string) string {
	resource := map[string]string{
		"*v1alpha1.ClientBinding": "clientbindings.access.delos.financial",
		"*v1alpha1.APIConnection": "apiconnections.access.delos.financial",
		"*v1.Secret":              "secrets",
		"*v1.RoleBinding":         "rolebindings.rbac.authorization.k8s.io",
	}[fmt.Sprintf("%T", object)]
	policy = "clientbinding-operator-" + policy
	return fmt.Sprintf("%s %q is forbidden: ValidatingAdmissionPolicy '%s' with binding '%[3]s' denied request: %s",
		resource, object.GetName(), policy, message)
}

const (
	ownerMessage = "access as owner of client %[1]s needs the verb grant on clientbindings/owner named %[1]s in namespace %[2]s" +
		"; the ClusterRole clientbinding-operator-owner-granter has it for all clients"
	standardMessage = "standard access to client %[1]s needs the verb grant on clientbindings/standard named %[1]s in namespace %[2]s" +
		"; the ClusterRole clientbinding-operator-standard-granter has it for all clients"
)

func noOwner(b *v1alpha1.ClientBinding) string {
	return refusal(b, "grants", fmt.Sprintf(ownerMessage, b.Spec.CUID, b.Namespace))
}

// stillOwner is the rest of the message if the object no longer says owner.
const stillOwner = "; it may still be access as owner, until the operator has confirmed that it is not"

func noStandard(b *v1alpha1.ClientBinding) string {
	return refusal(b, "grants", fmt.Sprintf(standardMessage, b.Spec.CUID, b.Namespace))
}

// check compares an error with its wanted text; "" is no error.
func check(t *testing.T, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// create makes an object as an administrator.
func create(t *testing.T, object client.Object) {
	t.Helper()
	if err := kube.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

// edit is a merge patch by a user.
func (u user) edit(t *testing.T, object client.Object, patch string) error {
	t.Helper()
	return u.Patch(t.Context(), object.DeepCopyObject().(client.Object), client.RawPatch(types.MergePatchType, []byte(patch)))
}

func TestOwnersAreMadeOfNamedClientsOnly(t *testing.T) {
	namespace := newNamespace(t)
	granter := newRequester(t, namespace, "granter", may("grant", "clientbindings/owner", "C-1001"))
	other := newRequester(t, namespace, "other")

	of := binding(namespace, "granted", "C-1001", true)
	check(t, granter.Create(t.Context(), of), "")
	of = binding(namespace, "other-client", "C-2002", true)
	check(t, granter.Create(t.Context(), of), noOwner(of))
	of = binding(namespace, "standard", "C-1001", false)
	check(t, granter.Create(t.Context(), of), noStandard(of))
	of = binding(namespace, "other", "C-1001", true)
	check(t, other.Create(t.Context(), of), noOwner(of))

	elsewhere := newNamespace(t)
	granter.bind(t, elsewhere, requester)
	of = binding(elsewhere, "elsewhere", "C-1001", true)
	check(t, granter.Create(t.Context(), of), noOwner(of))
}

func TestStandardAccessNeedsItsOwnVerb(t *testing.T) {
	namespace := newNamespace(t)
	granter := newRequester(t, namespace, "granter")
	granter.bind(t, namespace, "clientbinding-operator-standard-granter")
	other := newRequester(t, namespace, "other")

	check(t, granter.Create(t.Context(), binding(namespace, "granted", "C-1001", false)), "")
	of := binding(namespace, "owner", "C-1001", true)
	check(t, granter.Create(t.Context(), of), noOwner(of))
	of = binding(namespace, "other", "C-1001", false)
	check(t, other.Create(t.Context(), of), noStandard(of))
}

// TestDryRunAndServerSideApplyAreAskedToo sends the requests of Argo CD and of `kubectl apply --server-side`.
func TestDryRunAndServerSideApplyAreAskedToo(t *testing.T) {
	namespace := newNamespace(t)
	other := newRequester(t, namespace, "other")
	of := binding(namespace, "applied", "C-1001", true)
	of.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ClientBinding"))

	check(t, other.Create(t.Context(), of.DeepCopy(), client.DryRunAll), noOwner(of))
	for _, options := range [][]client.ApplyOption{nil, {client.DryRunAll}} {
		err := other.Apply(t.Context(), applyConfiguration(t, of), append(options, client.FieldOwner("other"))...)
		check(t, err, noOwner(of))
	}
}

// TestWildcardsOnTheResourceGiveNoGrant: a role with * on clientbindings does not include the verb.
func TestWildcardsOnTheResourceGiveNoGrant(t *testing.T) {
	namespace := newNamespace(t)
	all := newUser(t, "all")
	all.allow(t, namespace, may("*", "clientbindings"))
	of := binding(namespace, "mine", "C-1001", true)
	check(t, all.Create(t.Context(), of), noOwner(of))
	of = binding(namespace, "mine", "C-1001", false)
	check(t, all.Create(t.Context(), of), noStandard(of))

	// A wildcard for the resource includes all verbs. docs/security.md warns of it.
	everything := newUser(t, "everything")
	everything.allow(t, namespace, may("*", "*"))
	check(t, everything.Create(t.Context(), binding(namespace, "mine", "C-1001", true)), "")
}

// TestTransitions tries each way of changing a ClientBinding, as a person without any verb of ours.
func TestTransitions(t *testing.T) {
	const (
		early = `"2030-01-01T00:00:00Z"`
		late  = `"2030-01-01T00:00:01Z"`
	)
	owner, standard := noOwner, noStandard
	allowed := func(*v1alpha1.ClientBinding) string { return "" }
	for _, test := range []struct {
		reason string
		spec   string // besides what identifies the relation
		edit   string
		want   func(*v1alpha1.ClientBinding) string
	}{
		{"labels of an owner", `{"isOwner":true}`, `{"metadata":{"labels":{"team":"a"}}}`, allowed},
		{"a look that is asked for", `{"isOwner":true}`, `{"metadata":{"annotations":{"access.delos.financial/requestedAt":"now"}}}`, allowed},
		{"promotion", `{"isOwner":false}`, `{"spec":{"isOwner":true}}`, owner},
		{"demotion", `{"isOwner":true}`, `{"spec":{"isOwner":false}}`, allowed},
		{"an end of what had none", `{"isOwner":true}`, `{"spec":{"expiresAt":` + late + `}}`, allowed},
		{"an earlier end", `{"isOwner":true,"expiresAt":` + late + `}`, `{"spec":{"expiresAt":` + early + `}}`, allowed},
		{"the same end", `{"isOwner":true,"expiresAt":` + early + `}`, `{"spec":{"expiresAt":` + early + `}}`, allowed},
		{"a later end for an owner", `{"isOwner":true,"expiresAt":` + early + `}`, `{"spec":{"expiresAt":` + late + `}}`, owner},
		{"no end for an owner", `{"isOwner":true,"expiresAt":` + early + `}`, `{"spec":{"expiresAt":null}}`, owner},
		{"a later end", `{"isOwner":false,"expiresAt":` + early + `}`, `{"spec":{"expiresAt":` + late + `}}`, standard},
		{"no end", `{"isOwner":false,"expiresAt":` + early + `}`, `{"spec":{"expiresAt":null}}`, standard},
		{
			"a later end for an owner who is demoted at the same time", `{"isOwner":true,"expiresAt":` + early + `}`,
			`{"spec":{"isOwner":false,"expiresAt":` + late + `}}`, func(b *v1alpha1.ClientBinding) string { return noOwner(b) + stillOwner },
		},
		{"suspending", `{"isOwner":true}`, `{"spec":{"suspend":true}}`, allowed},
		{"resuming an owner", `{"isOwner":true,"suspend":true}`, `{"spec":{"suspend":false}}`, owner},
		{"resuming by leaving it out", `{"isOwner":true,"suspend":true}`, `{"spec":{"suspend":null}}`, owner},
		{"resuming standard access", `{"isOwner":false,"suspend":true}`, `{"spec":{"suspend":false}}`, standard},
		{"resuming an owner as standard", `{"isOwner":true,"suspend":true}`, `{"spec":{"isOwner":false,"suspend":false}}`, standard},
		{"what is not suspended, said aloud", `{"isOwner":true}`, `{"spec":{"suspend":false}}`, allowed},
		{"another justification", `{"isOwner":true,"justification":"a"}`, `{"spec":{"justification":"b"}}`, allowed},
		{"no justification", `{"isOwner":true,"justification":"a"}`, `{"spec":{"justification":null}}`, allowed},
		{"revoking instead of orphaning", `{"isOwner":true,"deletionPolicy":"Orphan"}`, `{"spec":{"deletionPolicy":null}}`, allowed},
		{"preset finalizer", `{"isOwner":true}`, `{"metadata":{"finalizers":["access.delos.financial/revoke"]}}`, allowed},
	} {
		t.Run(test.reason, func(t *testing.T) {
			namespace := newNamespace(t)
			other := newRequester(t, namespace, "other")
			of := binding(namespace, "trial", "C-1001", false)
			parse(t, test.spec, &of.Spec)
			create(t, of)
			check(t, other.edit(t, of, test.edit), test.want(of))
			check(t, client.IgnoreNotFound(other.Delete(t.Context(), of)), "")
		})
	}
}

// unconfirmed are the states of a binding with standard access in which the platform may still show an owner.
func unconfirmed() map[string]v1alpha1.ClientBindingStatus {
	at := metav1.Unix(1_900_000_000, 0)
	claim := &v1alpha1.Claim{
		Origin:     v1alpha1.OriginCreated,
		Connection: v1alpha1.ClaimConnection{Namespace: "a", Name: "b", Host: "c:443"},
	}
	return map[string]v1alpha1.ClientBindingStatus{
		"an owner was read":              {Access: v1alpha1.AccessOwner, Claim: claim, LastConfirmedTime: &at},
		"what there is cannot be read":   {Claim: claim, LastConfirmedTime: &at},
		"a call was never confirmed":     {Access: v1alpha1.AccessNone, Claim: claim},
		"the last call is not confirmed": {Access: v1alpha1.AccessStandard, Claim: claim},
	}
}

// confirmed is the state in which the access is as declared.
func confirmed() v1alpha1.ClientBindingStatus {
	status := unconfirmed()["an owner was read"]
	status.Access = v1alpha1.AccessStandard
	return status
}

// report writes a status as the operator does.
func report(t *testing.T, of *v1alpha1.ClientBinding, status v1alpha1.ClientBindingStatus) {
	t.Helper()
	if err := kube.Get(t.Context(), key(of), of); err != nil {
		t.Fatal(err)
	}
	of.Status = status
	if err := kube.Status().Update(t.Context(), of); err != nil {
		t.Fatal(err)
	}
}

// TestProlongingWhatIsStillOwnerAccess: a suspended object that was demoted still has an owner on the platform.
func TestProlongingWhatIsStillOwnerAccess(t *testing.T) {
	namespace := newNamespace(t)
	granter := newRequester(t, namespace, "granter", may("grant", "clientbindings/standard", "C-1001"))
	of := binding(namespace, "trial", "C-1001", false)
	of.Spec.ExpiresAt = &metav1.Time{Time: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	create(t, of)
	const later = `{"spec":{"expiresAt":"2031-01-01T00:00:00Z"}}`
	for _, status := range unconfirmed() {
		report(t, of, status)
		check(t, granter.edit(t, of, later), noOwner(of)+stillOwner)
	}
	report(t, of, confirmed())
	check(t, granter.edit(t, of, later), "")
}

// TestObjectsThatAreNoneSaySo: a policy does not hide the API server's message about an invalid object.
func TestObjectsThatAreNoneSaySo(t *testing.T) {
	namespace := newNamespace(t)
	other := newRequester(t, namespace, "other")
	of := binding(namespace, "trial", "not a cuid", true)
	err := other.Create(t.Context(), of)
	if err == nil || !strings.Contains(err.Error(), "must consist of letters, digits, '_' and '-' only") {
		t.Errorf("a cuid with spaces: %v", err)
	}
}
