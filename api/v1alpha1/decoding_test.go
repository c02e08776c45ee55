package v1alpha1_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// complete are objects with all fields.
var complete = map[string]string{
	"ClientBinding": `
apiVersion: access.delos.financial/v1alpha1
kind: ClientBinding
metadata: {name: complete, namespace: default}
spec:
  userUUID: user_abc123def
  cuid: cust_789xyz
  isOwner: true
  connectionRef: {name: delos, namespace: platform}
  deletionPolicy: Orphan
  expiresAt: '2027-12-31T17:00:00Z'
  suspend: true
  justification: INC-4711
status:
  observedGeneration: 1
  conditions:
  - {type: Ready, status: 'True', reason: Bound, message: as declared, observedGeneration: 1, lastTransitionTime: '2026-11-23T12:00:00Z'}
  access: Owner
  claim:
    origin: Created
    connection: {namespace: platform, name: delos, host: api.example.com:443}
    account: 5f6c
    inFlight:
    - {access: Owner, sentTime: '2026-11-23T12:00:00Z', acceptedTime: '2026-11-23T12:00:00Z', timeout: 10s, settle: 30s}
    revocationPermittedTime: '2026-11-23T12:00:00Z'
  contest: {since: '2026-11-23T12:00:00Z', corrections: 2}
  user: {username: john.smith, status: ACCEPT}
  expiredTime: '2026-11-23T12:00:00Z'
  lastConfirmedTime: '2026-11-23T12:00:00Z'
  observedExpiry: {expiresAt: '2026-11-23T12:00:00Z', declaredTime: '2026-11-23T12:00:00Z'}
  lastHandledRequestedAt: now
  lastHandledReconcileAt: now
`,
	"APIConnection": `
apiVersion: access.delos.financial/v1alpha1
kind: APIConnection
metadata: {name: complete, namespace: default}
spec:
  url: https://stagep.tst-apidmndelss.com
  credentials: {secretRef: {name: delos-credentials}}
  caBundle: '-----BEGIN CERTIFICATE-----'
  dialect: {authorization: Bearer, relationBody: Nested}
  timeout: 10s
  rateLimit: {requestsPerSecond: 50, burst: 100}
  interval: 1h
  revocations: {max: 20, per: 1h}
  allowed:
    namespaces: {from: Selector, selector: {matchLabels: {team: a}, matchExpressions: [{key: env, operator: In, values: [prod]}]}}
    cuids: [cust_*]
    owner: true
status:
  observedGeneration: 1
  conditions:
  - {type: Ready, status: 'True', reason: LoggedIn, message: accepted, observedGeneration: 1, lastTransitionTime: '2026-11-23T12:00:00Z'}
  credentialsObservedAt: '2026-11-23T12:00:00Z'
  credentialsVersion: uid/1
  sessionExpiresAt: '2026-11-23T12:00:00Z'
  refusedLogin: {time: '2026-11-23T12:00:00Z', attempts: 1, credentialsVersion: uid/1}
  bindings: 1
  protectedSecrets: [delos-credentials]
  revocationsHeld: 1
  revocations:
    recent: [{since: '2026-11-23T12:00:00Z', count: 1}]
    approval: {value: 25@now, time: '2026-11-23T12:00:00Z', remaining: 1}
  lastHandledRequestedAt: now
  lastHandledReconcileAt: now
`,
}

// hostile are values that one of the fields might take although Go does not.
var hostile = []any{
	nil, true, []any{}, []any{"2027-12-31T17:00:00Z"}, []any{int64(1)}, []any{nil}, map[string]any{}, map[string]any{"a": "b"},
	int64(0), int64(-2), int64(math.MaxInt32) + 1, int64(math.MaxInt64), int64(math.MinInt64), 5.5, -0.5, 1e10, 1e19, 1e300, -1e300,
	"", " ", "null", "2027-12-31T17:00:00z", "2027-12-31t17:00:00Z", "2027-12-31 17:00:00Z", "2027-12-31T17:00:00", "2027-12-31",
	"2027-02-29T17:00:00Z", "2028-02-29T17:00:00Z", "2027-04-31T17:00:00Z", "2027-12-31T24:00:00Z", "2027-12-31T23:59:60Z", "2027-13-01T00:00:00Z",
	"2027-12-31T17:00:00.5Z", "2027-12-31T17:00:00,5Z", "2027-12-31T17:00:00x5Z", "2027-12-31T17:00:00.123456789123Z", "2027-12-31T7:00:00Z",
	"2027-12-31T17:00:00+01:00", "2027-12-31T17:00:00+0100", "2027-12-31T17:00:00+99:99", "2027-12-31T17:00:00-00:00", "2027-12-31T17:00Z",
	"0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "2027-12-31T17:00:00Z\n", "２０２７-12-31T17:00:00Z", "+2027-12-31T17:00:00Z",
	"1d", "1h ", "-1h", "1.5h", "1e3s", "999999h", "999999h999999h", "1h1h", "1µs", "1us", "1ns", "0", "60", "1hh", "h", "2562048h",
	"True", "Selector", "Orphan", "In", "\x00", strings.Repeat("9", 64),
}

// crd is the schema of a kind as the API server applies it.
type crd struct {
	structural *schema.Structural
	openAPI    validation.SchemaValidator
	rules      *cel.Validator
}

func crdOf(t *testing.T, file string) crd {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	definition := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(content, definition); err != nil {
		t.Fatal(err)
	}
	props := &apiextensions.JSONSchemaProps{}
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(definition.Spec.Versions[0].Schema.OpenAPIV3Schema, props, nil); err != nil {
		t.Fatal(err)
	}
	structural, err := schema.NewStructural(props)
	if err != nil {
		t.Fatal(err)
	}
	openAPI, _, err := validation.NewSchemaValidator(props)
	if err != nil {
		t.Fatal(err)
	}
	return crd{structural, openAPI, cel.NewValidator(structural, true, celconfig.PerCallLimit)}
}

// accepts reports whether the API server would accept an object, and changes it as the API server does before it looks.
func (c crd) accepts(ctx context.Context, object map[string]any) bool {
	defaulting.PruneNonNullableNullsWithoutDefaults(object, c.structural)
	defaulting.Default(object, c.structural)
	if len(validation.ValidateCustomResource(nil, object, c.openAPI)) > 0 {
		return false
	}
	refusals, _ := c.rules.Validate(ctx, nil, c.structural, object, nil, celconfig.RuntimeCELCostBudget)
	return len(refusals) == 0
}

// path leads to a field; an int is an index.
type path []any

// fieldsOf are the paths of all fields below spec and status, in the order of their names.
func fieldsOf(s *schema.Structural, at path) []path {
	var fields []path
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if len(at) == 0 && name != "spec" && name != "status" {
			continue
		}
		property := s.Properties[name]
		inner := append(slices.Clone(at), name)
		fields = append(append(fields, inner), fieldsOf(&property, inner)...)
	}
	if s.Items != nil {
		inner := append(slices.Clone(at), 0)
		fields = append(append(fields, inner), fieldsOf(s.Items, inner)...)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Structural != nil {
		inner := append(slices.Clone(at), "team")
		fields = append(append(fields, inner), fieldsOf(s.AdditionalProperties.Structural, inner)...)
	}
	return fields
}

// set puts a value where a path leads, unless something on the way is not there any more.
func set(object map[string]any, at path, value any) {
	var in any = object
	for _, step := range at[:len(at)-1] {
		switch step := step.(type) {
		case string:
			fields, _ := in.(map[string]any)
			in = fields[step]
		case int:
			elements, _ := in.([]any)
			if len(elements) <= step {
				return
			}
			in = elements[step]
		}
	}
	switch last := at[len(at)-1].(type) {
	case string:
		if fields, ok := in.(map[string]any); ok {
			fields[last] = value
		}
	case int:
		if elements, ok := in.([]any); ok && last < len(elements) {
			elements[last] = value
		}
	}
}

// decoded is an object as the operator's cache gets it, with the fields that could not be read.
func decoded(t *testing.T, kind string, stored map[string]any) (client.Object, v1alpha1.UnreadableFields) {
	t.Helper()
	encoded, err := json.Marshal(stored)
	if err != nil {
		t.Fatal(err)
	}
	switch kind {
	case "ClientBinding":
		list := &v1alpha1.ClientBindingList{}
		if err := json.Unmarshal(fmt.Appendf(nil, `{"items":[%s]}`, encoded), list); err != nil {
			t.Fatalf("%v in %s", err, encoded)
		}
		return &list.Items[0], list.Items[0].UnreadableFields
	default:
		list := &v1alpha1.APIConnectionList{}
		if err := json.Unmarshal(fmt.Appendf(nil, `{"items":[%s]}`, encoded), list); err != nil {
			t.Fatalf("%v in %s", err, encoded)
		}
		return &list.Items[0], list.Items[0].UnreadableFields
	}
}

// mutant is a complete object of which some fields have hostile values.
func mutant(complete map[string]any, fields []path, random *rand.Rand) (object map[string]any, what string) {
	object = runtime.DeepCopyJSON(complete)
	for range 1 + random.IntN(2) {
		at, value := fields[random.IntN(len(fields))], hostile[random.IntN(len(hostile))]
		what += fmt.Sprintf(" %v = %#v", at, value)
		set(object, at, runtime.DeepCopyJSONValue(value))
	}
	return object, what
}

// TestWhatTheAPIServerAcceptsDecodes tries the schemas with values that Go does not decode, by the code with which the
// API server applies them. One such object that was accepted would end every list and watch of its kind.
func TestWhatTheAPIServerAcceptsDecodes(t *testing.T) {
	const mutants = 50_000 // of each kind
	for kind, file := range map[string]string{
		"ClientBinding": "access.delos.financial_clientbindings.yaml", "APIConnection": "access.delos.financial_apiconnections.yaml",
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			crd := crdOf(t, filepath.Join(crds, file))
			complete := parse(t, complete[kind])
			if !crd.accepts(t.Context(), complete) {
				t.Fatal("the complete object is refused")
			}
			fields, random := fieldsOf(crd.structural, nil), rand.New(rand.NewPCG(1, 2))
			unreadable := 0
			for range mutants {
				object, what := mutant(complete, fields, random)
				if _, problems := decoded(t, kind, object); len(problems) > 0 {
					unreadable++
					if crd.accepts(t.Context(), object) {
						t.Errorf("accepted, and does not decode:%s: %s", what, problems)
					}
				}
			}
			if unreadable < mutants/10 {
				t.Errorf("only %d of %d objects do not decode", unreadable, mutants)
			}
		})
	}
}

// TestTheAPIServerRefusesWhatDoesNotDecode sends each field every kind of value to the real API server.
func TestTheAPIServerRefusesWhatDoesNotDecode(t *testing.T) {
	for kind, file := range map[string]string{
		"ClientBinding": "access.delos.financial_clientbindings.yaml", "APIConnection": "access.delos.financial_apiconnections.yaml",
	} {
		crd := crdOf(t, filepath.Join(crds, file))
		stored := &unstructured.Unstructured{Object: parse(t, complete[kind])}
		stored.SetName("hostile")
		create(t, stored.DeepCopy())
		random := rand.New(rand.NewPCG(3, 4))
		for _, at := range fieldsOf(crd.structural, nil) {
			// One value of each JSON type, and some of the rest.
			values := append(slices.Clone(hostile[:10]), hostile[10+random.IntN(10)], hostile[20+random.IntN(len(hostile)-20)], hostile[20+random.IntN(len(hostile)-20)])
			for _, value := range values {
				sent := stored.DeepCopy()
				set(sent.Object, at, runtime.DeepCopyJSONValue(value))
				var err error
				if at[0] == "spec" {
					sent.SetName("another")
					err = kube.Create(t.Context(), sent, client.DryRunAll)
				} else {
					err = kube.Status().Update(t.Context(), sent, client.DryRunAll)
				}
				if err != nil {
					continue
				}
				if _, problems := decoded(t, kind, sent.Object); len(problems) > 0 {
					t.Errorf("accepted, and does not decode: %s %v = %#v: %s", kind, at, value, problems)
				}
			}
		}
	}
}

// TestUnreadableFieldsAreLeftOut decodes what an older CRD may have let in.
func TestUnreadableFieldsAreLeftOut(t *testing.T) {
	at := &metav1.Time{Time: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	stored := parse(t, complete["ClientBinding"])
	set(stored, path{"spec", "expiresAt"}, "2027-12-31T17:00:00z")
	set(stored, path{"spec", "suspend"}, "yes")
	set(stored, path{"status", "observedGeneration"}, 1e300)
	set(stored, path{"status", "conditions", 0, "lastTransitionTime"}, []any{})
	set(stored, path{"status", "claim", "revocationPermittedTime"}, map[string]any{})
	set(stored, path{"status", "contest"}, "often")
	got, _ := decoded(t, "ClientBinding", stored)
	want := &v1alpha1.ClientBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: "access.delos.financial/v1alpha1", Kind: "ClientBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: "complete", Namespace: "default"},
		Spec: v1alpha1.ClientBindingSpec{
			UserUUID: "user_abc123def", CUID: "cust_789xyz", IsOwner: true,
			ConnectionRef:  &v1alpha1.ConnectionReference{Name: "delos", Namespace: "platform"},
			DeletionPolicy: v1alpha1.DeletionPolicyOrphan, Justification: "INC-4711",
		},
		Status: v1alpha1.ClientBindingStatus{
			Conditions: []metav1.Condition{},
			Access:     v1alpha1.AccessOwner,
			Claim: &v1alpha1.Claim{
				Origin:     v1alpha1.OriginCreated,
				Connection: v1alpha1.ClaimConnection{Namespace: "platform", Name: "delos", Host: "api.example.com:443"},
				Account:    "5f6c",
				InFlight: []v1alpha1.Call{{
					Access: v1alpha1.AccessOwner, SentTime: *at, AcceptedTime: at,
					Timeout: metav1.Duration{Duration: 10 * time.Second}, Settle: metav1.Duration{Duration: 30 * time.Second},
				}},
			},
			User:                   &v1alpha1.User{Username: "john.smith", Status: "ACCEPT"},
			ObservedExpiry:         &v1alpha1.ObservedExpiry{ExpiresAt: *at, DeclaredTime: at},
			ExpiredTime:            at,
			LastConfirmedTime:      at,
			ReconcileRequestStatus: v1alpha1.ReconcileRequestStatus{LastHandledRequestedAt: "now", LastHandledReconcileAt: "now"},
		},
		UnreadableFields: v1alpha1.UnreadableFields{
			{Path: "spec.expiresAt", Problem: `parsing time "2027-12-31T17:00:00z" as "2006-01-02T15:04:05Z07:00": cannot parse "z" as "Z07:00"`},
			{Path: "spec.suspend", Problem: "json: cannot unmarshal string into Go value of type bool"},
			{Path: "status.observedGeneration", Problem: "json: cannot unmarshal number 1e+300 into Go value of type int64"},
			{Path: "status.conditions[0].lastTransitionTime", Problem: "json: cannot unmarshal array into Go value of type string"},
			{Path: "status.claim.revocationPermittedTime", Problem: "json: cannot unmarshal object into Go value of type string"},
			{Path: "status.contest", Problem: "json: cannot unmarshal string into Go value of type v1alpha1.Contest"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(want.UnreadableFields[:2], want.UnreadableFields.Under("spec")); diff != "" {
		t.Errorf("under spec: -want +got:\n%s", diff)
	}
}
