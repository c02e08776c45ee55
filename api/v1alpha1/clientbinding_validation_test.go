package v1alpha1_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

const relation = `
userUUID: user_abc123def
cuid: cust_789xyz
isOwner: true
`

const through = relation + "connectionRef: {name: staging, namespace: team-a}"

// The messages of rules that are used more than once.
const (
	wantUserUUID = "must consist of letters, digits, '_' and '-' only, as in 158a190e-c4a9-4e6c-bf9b-4ef74ae345eb: " +
		"copy the user's uuid from the Delos platform (not the username or e-mail address)"
	wantCUID = "must consist of letters, digits, '_' and '-' only, as in DoxdEEV-4IJq-zKeUYqrtqVDK: " +
		"copy the client's cuid (customerId) from the Delos platform"
	wantConnectionName      = "must be the name of an APIConnection: lower case letters, digits, '-' and '.', as in default"
	wantConnectionNamespace = "must be the name of a namespace: lower case letters, digits and '-', as in team-a"
	connectionRefChanged    = "spec.connectionRef: Forbidden: connectionRef cannot be changed: " +
		"create a new ClientBinding through the other connection and delete this one"
	connectionRefComesOrGoes = "spec.connectionRef: Forbidden: connectionRef cannot be added or removed later: " +
		"create a new ClientBinding through the other connection and delete this one"
)

// utc is the API server's message about a time in another form.
const utc = "spec.expiresAt in body should match '^(a time in UTC as in 2026-12-31T17:00:00Z){0}" +
	"([12][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))" +
	"|(1[26]00|2[048]00|[12][0-9](0[48]|[2468][048]|[13579][26]))-02-29)T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$'"

var clientBindingSpecs = []attempt{
	{
		reason: "user, client and level of access are all it takes",
		is:     relation,
	},
	{
		reason: "everything there is",
		is: `
userUUID: 158a190e-c4a9-4e6c-bf9b-4ef74ae345eb
cuid: DoxdEEV-4IJq-zKeUYqrtqVDK
isOwner: false
connectionRef: {name: staging.v2, namespace: team-a}
deletionPolicy: Orphan
suspend: true
expiresAt: '2027-12-31T17:00:00Z'
justification: INC-4711, four eyes
`,
	},

	// userUUID
	{
		reason: "a relation without a user",
		is:     "{cuid: cust_789xyz, isOwner: true}",
		want:   []string{"spec.userUUID: Required value", unchecked},
	},
	{
		reason: "an empty user",
		is:     "{userUUID: '', cuid: cust_789xyz, isOwner: true}",
		want: []string{
			`spec.userUUID: Invalid value: "": spec.userUUID in body should be at least 1 chars long`,
			`spec.userUUID: Invalid value: "": ` + wantUserUUID,
		},
	},
	{
		reason: "the longest user",
		is:     "{userUUID: " + strings.Repeat("u", 128) + ", cuid: cust_789xyz, isOwner: true}",
	},
	{
		reason: "a user too long",
		is:     "{userUUID: " + longer(128) + ", cuid: cust_789xyz, isOwner: true}",
		want:   []string{"spec.userUUID: Too long: may not be more than 128 bytes", unchecked},
	},
	{
		reason: "an e-mail address is not a uuid",
		is:     "{userUUID: john.smith@example.com, cuid: cust_789xyz, isOwner: true}",
		want:   []string{`spec.userUUID: Invalid value: "john.smith@example.com": ` + wantUserUUID},
	},
	{
		reason: "a path would lead to another operation of the API",
		is:     "{userUUID: user_abc123def/relate-client, cuid: cust_789xyz, isOwner: true}",
		want:   []string{`spec.userUUID: Invalid value: "user_abc123def/relate-client": ` + wantUserUUID},
	},
	{
		reason: "a line feed at the end, as from a block scalar",
		is:     "{userUUID: \"user_abc123def\\n\", cuid: cust_789xyz, isOwner: true}",
		want:   []string{`spec.userUUID: Invalid value: "user_abc123def\n": ` + wantUserUUID},
	},
	{
		reason: "a uuid of digits only has to be quoted",
		is:     "{userUUID: 158190, cuid: cust_789xyz, isOwner: true}",
		want: []string{
			`spec.userUUID: Invalid value: "integer": spec.userUUID in body must be of type string: "integer"`, unchecked,
		},
	},
	{
		reason: "another user is another ClientBinding",
		was:    relation,
		is:     "{userUUID: user_other, cuid: cust_789xyz, isOwner: true}",
		want: []string{
			`spec.userUUID: Invalid value: "user_other": userUUID cannot be changed: ` +
				"create a new ClientBinding for the other user and delete this one",
		},
	},

	// cuid
	{
		reason: "a relation without a client",
		is:     "{userUUID: user_abc123def, isOwner: true}",
		want:   []string{"spec.cuid: Required value", unchecked},
	},
	{
		reason: "an empty client",
		is:     "{userUUID: user_abc123def, cuid: '', isOwner: true}",
		want: []string{
			`spec.cuid: Invalid value: "": spec.cuid in body should be at least 1 chars long`,
			`spec.cuid: Invalid value: "": ` + wantCUID,
		},
	},
	{
		reason: "the longest client",
		is:     "{userUUID: user_abc123def, cuid: " + strings.Repeat("c", 128) + ", isOwner: true}",
	},
	{
		reason: "a client too long",
		is:     "{userUUID: user_abc123def, cuid: " + longer(128) + ", isOwner: true}",
		want:   []string{"spec.cuid: Too long: may not be more than 128 bytes", unchecked},
	},
	{
		reason: "a client's name is not its cuid",
		is:     "{userUUID: user_abc123def, cuid: Smith & Sons, isOwner: true}",
		want:   []string{`spec.cuid: Invalid value: "Smith & Sons": ` + wantCUID},
	},
	{
		reason: "YAML reads 0123 as the number 83, which would be another client",
		is:     "{userUUID: user_abc123def, cuid: 0123, isOwner: true}",
		want: []string{
			`spec.cuid: Invalid value: "integer": spec.cuid in body must be of type string: "integer"`, unchecked,
		},
	},
	{
		reason: "digits in quotes are a cuid",
		is:     `{userUUID: user_abc123def, cuid: "0123", isOwner: true}`,
	},
	{
		reason: "another client is another ClientBinding",
		was:    relation,
		is:     "{userUUID: user_abc123def, cuid: cust_other, isOwner: true}",
		want: []string{
			`spec.cuid: Invalid value: "cust_other": cuid cannot be changed: ` +
				"create a new ClientBinding for the other client and delete this one",
		},
	},

	// isOwner
	{
		reason: "the level of access has to be said aloud",
		is:     "{userUUID: user_abc123def, cuid: cust_789xyz}",
		want:   []string{"spec.isOwner: Required value", unchecked},
	},
	{
		reason: "null is not a level of access",
		is:     "{userUUID: user_abc123def, cuid: cust_789xyz, isOwner: null}",
		want:   []string{"spec.isOwner: Required value", unchecked},
	},
	{
		reason: "a word is not a level of access",
		is:     `{userUUID: user_abc123def, cuid: cust_789xyz, isOwner: "true"}`,
		want: []string{
			`spec.isOwner: Invalid value: "string": spec.isOwner in body must be of type boolean: "string"`, unchecked,
		},
	},
	{
		reason: "the level of access may change",
		was:    relation,
		is:     "{userUUID: user_abc123def, cuid: cust_789xyz, isOwner: false}",
	},

	// connectionRef
	{
		reason: "a reference to nothing",
		is:     relation + "connectionRef: {}",
		want:   []string{"spec.connectionRef.name: Required value", unchecked},
	},
	{
		reason: "a connection without a name",
		is:     relation + "connectionRef: {name: ''}",
		want: []string{
			`spec.connectionRef.name: Invalid value: "": spec.connectionRef.name in body should be at least 1 chars long`,
			`spec.connectionRef.name: Invalid value: "": ` + wantConnectionName,
		},
	},
	{
		reason: "a name that no APIConnection can have",
		is:     relation + "connectionRef: {name: Staging}",
		want:   []string{`spec.connectionRef.name: Invalid value: "Staging": ` + wantConnectionName},
	},
	{
		reason: "namespace/name belongs into two fields",
		is:     relation + "connectionRef: {name: team-a/staging}",
		want:   []string{`spec.connectionRef.name: Invalid value: "team-a/staging": ` + wantConnectionName},
	},
	{
		reason: "the longest names",
		is: relation + "connectionRef: {name: " + strings.Repeat("n", 253) +
			", namespace: " + strings.Repeat("n", 63) + "}",
	},
	{
		reason: "a connection's name too long",
		is:     relation + "connectionRef: {name: " + longer(253) + "}",
		want:   []string{"spec.connectionRef.name: Too long: may not be more than 253 bytes", unchecked},
	},
	{
		reason: "an empty namespace is not the binding's own; leaving it out is",
		is:     relation + "connectionRef: {name: staging, namespace: ''}",
		want: []string{
			`spec.connectionRef.namespace: Invalid value: "": spec.connectionRef.namespace in body should be at least 1 chars long`,
			`spec.connectionRef.namespace: Invalid value: "": ` + wantConnectionNamespace,
		},
	},
	{
		reason: "a name that no namespace can have",
		is:     relation + "connectionRef: {name: staging, namespace: team.a}",
		want:   []string{`spec.connectionRef.namespace: Invalid value: "team.a": ` + wantConnectionNamespace},
	},
	{
		reason: "a namespace's name too long",
		is:     relation + "connectionRef: {name: staging, namespace: " + longer(63) + "}",
		want:   []string{"spec.connectionRef.namespace: Too long: may not be more than 63 bytes", unchecked},
	},
	{
		reason: "a reference that comes later would move the relation to another API",
		was:    relation,
		is:     through,
		want:   []string{connectionRefComesOrGoes},
	},
	{
		reason: "a reference that goes would move the relation to another API",
		was:    through,
		is:     relation,
		want:   []string{connectionRefComesOrGoes},
	},
	{
		reason: "null is no reference either",
		was:    through,
		is:     relation + "connectionRef: null",
		want:   []string{connectionRefComesOrGoes},
	},
	{
		reason: "another connection may be another API",
		was:    through,
		is:     relation + "connectionRef: {name: production, namespace: team-a}",
		want:   []string{connectionRefChanged},
	},
	{
		reason: "a connection of that name elsewhere may be another API",
		was:    through,
		is:     relation + "connectionRef: {name: staging, namespace: team-b}",
		want:   []string{connectionRefChanged},
	},
	{
		reason: "without its namespace the reference is to another connection",
		was:    through,
		is:     relation + "connectionRef: {name: staging}",
		want:   []string{connectionRefChanged},
	},

	// What may change at any time.
	{
		reason: "the two policies",
		was:    through + "\ndeletionPolicy: Revoke",
		is:     through + "\ndeletionPolicy: Orphan",
	},
	{
		reason: "a policy that does not exist",
		is:     relation + "deletionPolicy: Keep",
		want:   []string{`spec.deletionPolicy: Unsupported value: "Keep": supported values: "Revoke", "Orphan"`, unchecked},
	},
	{
		reason: "an empty policy is not the policy that applies when it is absent",
		is:     relation + "deletionPolicy: ''",
		want:   []string{`spec.deletionPolicy: Unsupported value: "": supported values: "Revoke", "Orphan"`, unchecked},
	},
	{reason: "a time in UTC", is: relation + "expiresAt: '2026-12-31T17:00:00Z'"},
	{reason: "a time that is moved before it has come", was: relation + "expiresAt: '2026-12-31T17:00:00Z'", is: relation + "expiresAt: '2027-12-31T17:00:00Z'"},
	{reason: "the 29th of February of a leap year", is: relation + "expiresAt: '2028-02-29T23:59:59Z'"},
	{
		reason: "a time with an offset, which GitOps tools would see rewritten",
		is:     relation + "expiresAt: '2026-12-31T18:00:00+01:00'",
		want:   invalid("spec.expiresAt", "2026-12-31T18:00:00+01:00", utc),
	},
	{reason: "a date alone", is: relation + "expiresAt: '2026-12-31'", want: invalid("spec.expiresAt", "2026-12-31", utc)},
	{
		reason: "a time with fractions of a second",
		is:     relation + "expiresAt: '2026-12-31T17:00:00.5Z'",
		want:   invalid("spec.expiresAt", "2026-12-31T17:00:00.5Z", utc),
	},
	{reason: "a small z", is: relation + "expiresAt: '2026-12-31T17:00:00z'", want: invalid("spec.expiresAt", "2026-12-31T17:00:00z", utc)},
	{
		reason: "a day that there is not",
		is:     relation + "expiresAt: '2027-02-29T17:00:00Z'",
		want:   invalid("spec.expiresAt", "2027-02-29T17:00:00Z", utc),
	},
	{
		reason: "a list, which a schema with a format would let in",
		is:     relation + "expiresAt: []",
		want: []string{
			`spec.expiresAt: Invalid value: "array": spec.expiresAt in body must be of type string: "array"`, unchecked,
		},
	},
	{
		reason: "a time of any length",
		is:     relation + "expiresAt: " + longer(64),
		want:   []string{"spec.expiresAt: Too long: may not be more than 64 bytes", unchecked},
	},
	{
		reason: "suspended later",
		was:    relation,
		is:     relation + "suspend: true",
	},
	{
		reason: "resumed by removing the field",
		was:    relation + "suspend: true",
		is:     relation,
	},
	{
		reason: "the longest justification, in characters though the message speaks of bytes",
		is:     relation + "justification: " + strings.Repeat("é", 256),
	},
	{
		reason: "an empty justification",
		is:     relation + "justification: ''",
		want:   []string{`spec.justification: Invalid value: "": spec.justification in body should be at least 1 chars long`},
	},
	{
		reason: "an overlong justification",
		is:     relation + "justification: " + longer(256),
		want:   []string{"spec.justification: Too long: may not be more than 256 bytes", unchecked},
	},
	{
		reason: "a word does not suspend",
		is:     relation + "suspend: 'yes'",
		want: []string{
			`spec.suspend: Invalid value: "string": spec.suspend in body must be of type boolean: "string"`, unchecked,
		},
	},
}

// TestExpiredStaysExpired shows that access which has expired is not renewed by moving its time.
func TestExpiredStaysExpired(t *testing.T) {
	const refused = `ClientBinding.access.delos.financial "expired" is invalid: spec.expiresAt: Forbidden: ` +
		"the access has expired and stays so, expiresAt cannot be moved to a later time or removed: create a new ClientBinding to renew it"
	binding := object(t, "ClientBinding", "expired", relation+"expiresAt: '2026-11-23T12:00:00Z'")
	create(t, binding)
	binding.Object["status"] = parse(t, "expiredTime: '2026-11-23T12:00:01Z'")
	if err := kube.Status().Update(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	for reason, edit := range map[string]struct{ spec, want string }{
		"a later time":             {relation + "expiresAt: '2027-01-01T00:00:00Z'", refused},
		"no time any more":         {relation, refused},
		"an earlier time":          {relation + "expiresAt: '2026-11-01T00:00:00Z'", ""},
		"the same time":            {relation + "expiresAt: '2026-11-23T12:00:00Z'", ""},
		"something else is edited": {relation + "expiresAt: '2026-11-23T12:00:00Z'\nsuspend: true", ""},
	} {
		t.Run(reason, func(t *testing.T) {
			edited := binding.DeepCopy()
			edited.Object["spec"] = parse(t, edit.spec)
			err := kube.Update(t.Context(), edited, client.DryRunAll)
			if diff := cmp.Diff(edit.want, text(err)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestClientBindingSpec(t *testing.T) {
	trySpecs(t, "ClientBinding", clientBindingSpecs)
}

// TestDeletionPolicyMayChangeWhileDeleting keeps the way out of an API that is gone for good.
func TestDeletionPolicyMayChangeWhileDeleting(t *testing.T) {
	binding := object(t, "ClientBinding", "leaving", relation)
	binding.SetFinalizers([]string{v1alpha1.RevokeFinalizer})
	create(t, binding)
	if err := kube.Delete(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(binding), binding); err != nil {
		t.Fatalf("gone in spite of its finalizer: %v", err)
	}

	if err := unstructured.SetNestedField(binding.Object, "Orphan", "spec", "deletionPolicy"); err != nil {
		t.Fatal(err)
	}
	if err := kube.Update(t.Context(), binding); err != nil {
		t.Fatalf("setting deletionPolicy: Orphan: %v", err)
	}

	binding.SetFinalizers(nil)
	if err := kube.Update(t.Context(), binding); err != nil {
		t.Fatalf("removing the finalizer: %v", err)
	}
	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(binding), binding); !apierrors.IsNotFound(err) {
		t.Errorf("still there without its finalizer: %v", err)
	}
}

// claimWith is a claim with some more fields.
func claimWith(fields string) string {
	return "claim: {origin: Created, connection: {namespace: team-a, name: default, host: 'api.example.com:443'}, " + fields + "}"
}

var clientBindingStatuses = slices.Concat(requestStatuses, []attempt{
	{
		reason: "everything there is",
		is: `
observedGeneration: 1
conditions: ` + conditions(8) + `
access: Standard
claim:
  origin: Adopted
  connection: {namespace: team-a, name: default, host: "api.example.com:443"}
  account: 5f6c
  inFlight:
  - {access: Standard, sentTime: "2026-11-23T16:00:00Z", acceptedTime: "2026-11-23T16:00:00Z", timeout: 10s, settle: 30s}
  revocationPermittedTime: "2026-11-23T16:00:00Z"
user: {username: john.smith, status: ACCEPT}
lastConfirmedTime: "2026-11-23T16:00:00Z"
lastHandledRequestedAt: now
lastHandledReconcileAt: now
`,
	},
	{
		reason: "more conditions than there are",
		is:     "conditions: " + conditions(9),
		want:   []string{"status.conditions: Too many: 9: must have at most 8 items", unchecked},
	},

	{reason: "no access", is: "access: None"},
	{
		reason: "an access that does not exist",
		is:     "access: Reader",
		want:   []string{`status.access: Unsupported value: "Reader": supported values: "Owner", "Standard", "None"`, unchecked},
	},

	{
		reason: "a claim without an origin",
		is:     "claim: {connection: {namespace: team-a, name: default, host: 'api.example.com:443'}}",
		want:   []string{"status.claim.origin: Required value", unchecked},
	},
	{
		reason: "a claim of an origin that does not exist",
		is:     "claim: {origin: Found, connection: {namespace: team-a, name: default, host: 'api.example.com:443'}}",
		want:   []string{`status.claim.origin: Unsupported value: "Found": supported values: "Created", "Adopted"`, unchecked},
	},
	{
		reason: "a claim of an account without a name",
		is:     claimWith(`account: ''`),
		want:   []string{`status.claim.account: Invalid value: "": claim.account in body should be at least 1 chars long`},
	},
	{
		reason: "a claim of an account with an overlong name",
		is:     claimWith("account: " + longer(64)),
		want:   []string{"status.claim.account: Too long: may not be more than 64 bytes", unchecked},
	},
	{
		reason: "more calls in flight than there can be",
		is:     claimWith("inFlight: [" + strings.Repeat("{access: None, sentTime: '2026-11-23T16:00:00Z', timeout: 10s, settle: 30s}, ", 17) + "]"),
		want:   []string{"status.claim.inFlight: Too many: 17: must have at most 16 items", unchecked},
	},
	{
		reason: "a call in flight that makes no access",
		is:     claimWith(`inFlight: [{sentTime: '2026-11-23T16:00:00Z', timeout: 10s, settle: 30s}]`),
		want:   []string{"status.claim.inFlight[0].access: Required value", unchecked},
	},
	{
		reason: "a call in flight that makes what does not exist",
		is:     claimWith(`inFlight: [{access: Reader, sentTime: '2026-11-23T16:00:00Z', timeout: 10s, settle: 30s}]`),
		want:   []string{`status.claim.inFlight[0].access: Unsupported value: "Reader": supported values: "Owner", "Standard", "None"`, unchecked},
	},
	{
		reason: "a call that was sent at no time",
		is:     claimWith(`inFlight: [{access: None, timeout: 10s, settle: 30s}]`),
		want:   []string{"status.claim.inFlight[0].sentTime: Required value", unchecked},
	},
	{
		reason: "a call of no length",
		is:     claimWith(`inFlight: [{access: None, sentTime: '2026-11-23T16:00:00Z'}]`),
		want:   []string{"status.claim.inFlight[0].settle: Required value", "status.claim.inFlight[0].timeout: Required value", unchecked},
	},
	{
		reason: "a call of a length that is none",
		is:     claimWith(`inFlight: [{access: None, sentTime: '2026-11-23T16:00:00Z', timeout: soon, settle: 30s}]`),
		want:   []string{`status.claim.inFlight[0].timeout: Invalid value: "soon": must be a duration up to 24h, as in 10s`},
	},
	{
		reason: "a call that settles too late",
		is:     claimWith(`inFlight: [{access: None, sentTime: '2026-11-23T16:00:00Z', timeout: 10s, settle: 48h}]`),
		want:   []string{`status.claim.inFlight[0].settle: Invalid value: "48h": must be a duration up to 24h, as in 10s`},
	},
	{
		reason: "a call of a broken length",
		is:     claimWith(`inFlight: [{access: None, sentTime: '2026-11-23T16:00:00Z', timeout: 1m0.5s, settle: 1h0m0.123456789s}]`),
	},
	{
		reason: "a claim in no API",
		is:     "claim: {origin: Created}",
		want:   []string{"status.claim.connection: Required value", unchecked},
	},
	{
		reason: "a connection in no namespace",
		is:     "claim: {origin: Created, connection: {name: default, host: 'api.example.com:443'}}",
		want:   []string{"status.claim.connection.namespace: Required value", unchecked},
	},
	{
		reason: "a connection without a name",
		is:     "claim: {origin: Created, connection: {namespace: team-a, host: 'api.example.com:443'}}",
		want:   []string{"status.claim.connection.name: Required value", unchecked},
	},
	{
		reason: "a connection to nowhere",
		is:     "claim: {origin: Created, connection: {namespace: team-a, name: default}}",
		want:   []string{"status.claim.connection.host: Required value", unchecked},
	},
	{
		reason: "a connection of an empty namespace",
		is:     "claim: {origin: Created, connection: {name: default, host: 'api.example.com:443', namespace: ''}}",
		want: []string{
			`status.claim.connection.namespace: Invalid value: "": claim.connection.namespace in body should be at least 1 chars long`,
		},
	},
	{
		reason: "a connection of an overlong namespace",
		is:     "claim: {origin: Created, connection: {name: default, host: 'api.example.com:443', namespace: " + longer(63) + "}}",
		want: []string{
			"status.claim.connection.namespace: Too long: may not be more than 63 bytes", unchecked,
		},
	},
	{
		reason: "a connection of an empty name",
		is:     "claim: {origin: Created, connection: {namespace: team-a, host: 'api.example.com:443', name: ''}}",
		want: []string{
			`status.claim.connection.name: Invalid value: "": claim.connection.name in body should be at least 1 chars long`,
		},
	},
	{
		reason: "a connection of an overlong name",
		is:     "claim: {origin: Created, connection: {namespace: team-a, host: 'api.example.com:443', name: " + longer(253) + "}}",
		want: []string{
			"status.claim.connection.name: Too long: may not be more than 253 bytes", unchecked,
		},
	},
	{
		reason: "a connection of an empty host",
		is:     "claim: {origin: Created, connection: {namespace: team-a, name: default, host: ''}}",
		want: []string{
			`status.claim.connection.host: Invalid value: "": claim.connection.host in body should be at least 1 chars long`,
		},
	},
	{
		reason: "a connection of an overlong host",
		is:     "claim: {origin: Created, connection: {namespace: team-a, name: default, host: " + longer(320) + "}}",
		want: []string{
			"status.claim.connection.host: Too long: may not be more than 320 bytes", unchecked,
		},
	},

	{
		reason: "a relation that others keep changing",
		is:     "contest: {since: '2026-11-23T16:00:00Z', corrections: 1}",
	},
	{
		reason: "an observed expiry that is none",
		is:     "observedExpiry: {declaredTime: '2026-03-01T12:00:00Z'}",
		want:   []string{"status.observedExpiry.expiresAt: Required value", unchecked},
	},
	{
		reason: "a contest since nobody knows when",
		is:     "contest: {corrections: 1}",
		want:   []string{"status.contest.since: Required value", unchecked},
	},
	{
		reason: "a contest of nobody knows how many",
		is:     "contest: {since: '2026-11-23T16:00:00Z'}",
		want:   []string{"status.contest.corrections: Required value", unchecked},
	},
	{
		reason: "a contest of none",
		is:     "contest: {since: '2026-11-23T16:00:00Z', corrections: 0}",
		want: []string{
			"status.contest.corrections: Invalid value: 0: contest.corrections in body should be greater than or equal to 1",
		},
	},

	{
		reason: "the API may know no more than the username",
		is:     "user: {username: john.smith}",
	},
	{
		reason: "a user of whom nothing is known is left out",
		is:     "user: {}",
		want:   []string{"status.user: Invalid value: 0: user in body should have at least 1 properties"},
	},
	{
		reason: "an empty username",
		is:     "user: {username: ''}",
		want: []string{
			`status.user.username: Invalid value: "": user.username in body should be at least 1 chars long`,
		},
	},
	{
		reason: "an overlong username",
		is:     "user: {username: " + longer(256) + "}",
		want: []string{
			"status.user.username: Too long: may not be more than 256 bytes", unchecked,
		},
	},
	{
		reason: "an empty status",
		is:     "user: {status: ''}",
		want: []string{
			`status.user.status: Invalid value: "": user.status in body should be at least 1 chars long`,
		},
	},
	{
		reason: "an overlong status",
		is:     "user: {status: " + longer(64) + "}",
		want: []string{
			"status.user.status: Too long: may not be more than 64 bytes", unchecked,
		},
	},
})

func TestClientBindingStatus(t *testing.T) {
	tryStatuses(t, "ClientBinding", relation, clientBindingStatuses)
}
