package v1alpha1_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// TestTypesKeepWhatWasWritten: what goes through the Go types comes back with every field that was
// there, false ones too, and with none that was not.
func TestTypesKeepWhatWasWritten(t *testing.T) {
	for _, test := range []struct {
		reason, kind string
		through      client.Object
		spec         string
		want         string // when it is not the spec itself
	}{
		{
			reason:  "false is a level of access, and not to suspend may be said aloud",
			kind:    "ClientBinding",
			through: &v1alpha1.ClientBinding{},
			spec:    "{userUUID: user_abc123def, cuid: cust_789xyz, isOwner: false, suspend: false}",
		},
		{
			reason:  "what is absent stays absent",
			kind:    "ClientBinding",
			through: &v1alpha1.ClientBinding{},
			spec:    relation,
		},
		{
			reason:  "everything there is",
			kind:    "ClientBinding",
			through: &v1alpha1.ClientBinding{},
			spec:    through + "\ndeletionPolicy: Orphan\nsuspend: true\nexpiresAt: '2027-12-31T17:00:00Z'\njustification: INC-4711",
		},
		{
			reason:  "everything there is of a connection",
			kind:    "APIConnection",
			through: &v1alpha1.APIConnection{},
			spec:    validConnection + certificate + "timeout: 10s\ninterval: 1h0m0s\nrateLimit: {requestsPerSecond: 5, burst: 5}\n" + everythingAllowed,
		},
		{
			reason:  "nobody is to be let revoke, and nobody made an owner",
			kind:    "APIConnection",
			through: &v1alpha1.APIConnection{},
			spec:    validConnection + "revocations: {max: 0, per: 1h0m0s}\nallowed: {owner: false}",
		},
		{
			reason:  "durations as Go writes them",
			kind:    "APIConnection",
			through: &v1alpha1.APIConnection{},
			spec:    validConnection + certificate + "timeout: 10s\ninterval: 1h0m0s\n",
		},
		{
			// The same length of time in other words: one reason for the operator to write no spec.
			reason:  "durations are put in Go's words",
			kind:    "APIConnection",
			through: &v1alpha1.APIConnection{},
			spec:    validConnection + "timeout: 60s\ninterval: 1h\n",
			want:    validConnection + "timeout: 1m0s\ninterval: 1h0m0s\n",
		},
	} {
		t.Run(test.reason, func(t *testing.T) {
			typed := object(t, test.kind, "example", test.spec)
			if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(typed.Object, test.through, true); err != nil {
				t.Fatal(err)
			}
			encoded, err := json.Marshal(test.through)
			if err != nil {
				t.Fatal(err)
			}
			got := parse(t, string(encoded))["spec"]
			want := test.want
			if want == "" {
				want = test.spec
			}
			if diff := cmp.Diff(any(parse(t, want)), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestGitOpsToolsSeeNoDifference does what they do: apply what is in Git, let the operator write
// what it writes, and ask with a dry run what applying again would change.
func TestGitOpsToolsSeeNoDifference(t *testing.T) {
	for _, test := range []struct{ reason, kind, spec string }{
		{
			reason: "a binding with everything said that could be left out",
			kind:   "ClientBinding",
			spec:   "{userUUID: user_abc123def, cuid: cust_789xyz, isOwner: false, suspend: false, deletionPolicy: Revoke}",
		},
		{
			reason: "a binding with nothing said that can be left out",
			kind:   "ClientBinding",
			spec:   relation,
		},
		{
			reason: "a connection with all that can be said about who may use it",
			kind:   "APIConnection",
			spec:   validConnection + everythingAllowed,
		},
		{
			reason: "a connection with durations in other words than Go's",
			kind:   "APIConnection",
			spec:   validConnection + certificate + "timeout: 60s\ninterval: 90m\n",
		},
	} {
		t.Run(test.reason, func(t *testing.T) {
			inGit := object(t, test.kind, "declared", test.spec)
			deleteAfter(t, inGit)
			live := apply(t, inGit)

			addFinalizer(t, inGit, test.kind)
			reportReady(t, inGit, test.kind)

			get(t, inGit, live)
			again := apply(t, inGit, client.DryRunAll)
			if diff := cmp.Diff(live.Object, again.Object); diff != "" {
				t.Errorf("applying again would change (-live +applied):\n%s", diff)
			}
			if live.GetGeneration() != 1 {
				t.Errorf("the generation is %d: the operator changed the spec", live.GetGeneration())
			}
			if diff := cmp.Diff(parse(t, test.spec), live.Object["spec"]); diff != "" {
				t.Errorf("spec: -git +live:\n%s", diff)
			}
			for _, entry := range live.GetManagedFields() {
				if entry.Manager == operator && strings.Contains(entry.FieldsV1.GetRawString(), `"f:spec"`) {
					t.Errorf("the operator owns fields of the spec: %s", entry.FieldsV1.GetRawString())
				}
			}
		})
	}
}

// apply applies as GitOps tools do, and returns what the API server makes of it.
func apply(t *testing.T, o *unstructured.Unstructured, options ...client.ApplyOption) *unstructured.Unstructured {
	t.Helper()
	applied := o.DeepCopy()
	options = append(options, client.FieldOwner("gitops"), client.ForceOwnership)
	if err := kube.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(applied), options...); err != nil {
		t.Fatal(err)
	}
	return applied
}

// addFinalizer does it the way the operator does: through the Go types, with a patch of nothing else.
func addFinalizer(t *testing.T, named client.Object, kind string) {
	t.Helper()
	o, err := kube.Scheme().New(v1alpha1.GroupVersion.WithKind(kind))
	if err != nil {
		t.Fatal(err)
	}
	after := o.(client.Object)
	get(t, named, after)
	before := after.DeepCopyObject().(client.Object)
	after.SetFinalizers([]string{v1alpha1.RevokeFinalizer})
	if err := kube.Patch(t.Context(), after, client.MergeFrom(before), client.FieldOwner(operator)); err != nil {
		t.Fatal(err)
	}
}
