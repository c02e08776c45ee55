package v1alpha1_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// attempt is an object that a person may write, with the API server's answer.
type attempt struct {
	reason string
	was    string   // the spec before, as YAML; empty when the object is new
	is     string   // the spec, or the status, as YAML
	want   []string // the parts of the message, word for word; none when it is accepted
}

// unchecked is the text that the API server adds when it refuses an object before it comes to the CEL rules.
const unchecked = "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; " +
	"correct the existing errors to complete validation"

// message is the text of a refusal.
func message(kind string, parts []string) string {
	switch len(parts) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("%s.access.delos.financial %q is invalid: %s", kind, "example", parts[0])
	default:
		return fmt.Sprintf("%s.access.delos.financial %q is invalid: [%s]", kind, "example", strings.Join(parts, ", "))
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func trySpecs(t *testing.T, kind string, attempts []attempt) {
	t.Helper()
	for _, attempt := range attempts {
		t.Run(attempt.reason, func(t *testing.T) {
			spec := object(t, kind, "example", attempt.is)
			var err error
			if attempt.was == "" {
				err = kube.Create(t.Context(), spec, client.DryRunAll)
			} else {
				stored := object(t, kind, "example", attempt.was)
				create(t, stored)
				spec.SetResourceVersion(stored.GetResourceVersion())
				err = kube.Update(t.Context(), spec, client.DryRunAll)
			}
			if diff := cmp.Diff(message(kind, attempt.want), text(err)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func tryStatuses(t *testing.T, kind, spec string, attempts []attempt) {
	t.Helper()
	stored := object(t, kind, "example", spec)
	create(t, stored)
	for _, attempt := range attempts {
		t.Run(attempt.reason, func(t *testing.T) {
			o := stored.DeepCopy()
			o.Object["status"] = parse(t, attempt.is)
			err := kube.Status().Update(t.Context(), o, client.DryRunAll)
			if diff := cmp.Diff(message(kind, attempt.want), text(err)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// requestStatuses are attempts to acknowledge a request for a run, for both kinds.
var requestStatuses = []attempt{
	{
		reason: "the longest acknowledgement, in characters though the message speaks of bytes",
		is:     "lastHandledRequestedAt: " + strings.Repeat("é", 256),
	},
	{
		reason: "an empty lastHandledRequestedAt",
		is:     "lastHandledRequestedAt: ''",
		want: []string{
			`status.lastHandledRequestedAt: Invalid value: "": lastHandledRequestedAt in body should be at least 1 chars long`,
		},
	},
	{
		reason: "an overlong lastHandledRequestedAt",
		is:     "lastHandledRequestedAt: " + longer(256),
		want: []string{
			"status.lastHandledRequestedAt: Too long: may not be more than 256 bytes", unchecked,
		},
	},
	{
		reason: "an empty lastHandledReconcileAt",
		is:     "lastHandledReconcileAt: ''",
		want: []string{
			`status.lastHandledReconcileAt: Invalid value: "": lastHandledReconcileAt in body should be at least 1 chars long`,
		},
	},
	{
		reason: "an overlong lastHandledReconcileAt",
		is:     "lastHandledReconcileAt: " + longer(256),
		want: []string{
			"status.lastHandledReconcileAt: Too long: may not be more than 256 bytes", unchecked,
		},
	},
}

// conditions is a list of that many.
func conditions(count int) string {
	list := make([]string, count)
	for i := range list {
		list[i] = fmt.Sprintf("{type: Condition%d, status: Unknown, reason: Trial, message: '', lastTransitionTime: '2026-11-23T16:00:00Z'}", i)
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// longer is one byte longer than allowed.
func longer(allowed int) string { return strings.Repeat("x", allowed+1) }

func TestUnknownFieldsAreRefused(t *testing.T) {
	for kind, spec := range map[string]string{
		"ClientBinding": relation + "connection: default",
		"APIConnection": validConnection + "connection: default",
	} {
		t.Run(kind, func(t *testing.T) {
			err := kube.Create(t.Context(), object(t, kind, "example", spec), client.DryRunAll)
			want := fmt.Sprintf(`%s in version "v1alpha1" cannot be handled as a %[1]s: strict decoding error: unknown field "spec.connection"`, kind)
			if diff := cmp.Diff(want, text(err)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestSecretsOfOtherNamespacesCannotBeNamed keeps a connection from the credentials of another team.
func TestSecretsOfOtherNamespacesCannotBeNamed(t *testing.T) {
	spec := address + "credentials: {secretRef: {name: delos-credentials, namespace: platform}}"
	err := kube.Create(t.Context(), object(t, "APIConnection", "example", spec), client.DryRunAll)
	want := `APIConnection in version "v1alpha1" cannot be handled as a APIConnection: strict decoding error: unknown field "spec.credentials.secretRef.namespace"`
	if diff := cmp.Diff(want, text(err)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSpecIsRequired(t *testing.T) {
	for _, kind := range []string{"ClientBinding", "APIConnection"} {
		t.Run(kind, func(t *testing.T) {
			o := object(t, kind, "example", "")
			unstructured.RemoveNestedField(o.Object, "spec")
			err := kube.Create(t.Context(), o, client.DryRunAll)
			want := message(kind, []string{"spec: Required value", unchecked})
			if diff := cmp.Diff(want, text(err)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestEveryRuleIsTried finds the rule to which the tables have no refused object.
func TestEveryRuleIsTried(t *testing.T) {
	for file, attempts := range map[string][]attempt{
		"access.delos.financial_clientbindings.yaml": slices.Concat(clientBindingSpecs, clientBindingStatuses),
		"access.delos.financial_apiconnections.yaml": slices.Concat(apiConnectionSpecs, apiConnectionStatuses),
	} {
		var refusals []string
		for _, attempt := range attempts {
			refusals = append(refusals, attempt.want...)
		}
		for _, rule := range rulesOf(t, file) {
			tried := slices.ContainsFunc(refusals, func(refusal string) bool {
				return strings.HasPrefix(refusal, rule.path+": ") && strings.Contains(refusal, rule.says)
			})
			if !tried {
				t.Errorf("%s: no object in the tables is refused with %q at %s", file, rule.says, rule.path)
			}
		}
	}
}

// rule is one thing that a schema demands.
type rule struct{ path, says string }

func rulesOf(t *testing.T, file string) []rule {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(crds, file))
	if err != nil {
		t.Fatal(err)
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(content, crd); err != nil {
		t.Fatal(err)
	}
	var rules []rule
	for _, version := range crd.Spec.Versions {
		for _, part := range []string{"spec", "status"} {
			rules = append(rules, rulesBelow(part, version.Schema.OpenAPIV3Schema.Properties[part])...)
		}
	}
	if len(rules) == 0 {
		t.Fatalf("%s has no rules", file)
	}
	return rules
}

// rulesBelow leaves out what lists hold: these are conditions, whose rules are Kubernetes' own. It also leaves out the
// rules of the status by which its times and numbers decode: TestTheAPIServerRefusesWhatDoesNotDecode tries those.
func rulesBelow(path string, schema apiextensionsv1.JSONSchemaProps) []rule {
	var rules []rule
	for _, name := range schema.Required {
		rules = append(rules, rule{path + "." + name, "Required value"})
	}
	if schema.MinLength != nil {
		rules = append(rules, rule{path, fmt.Sprintf("should be at least %d chars long", *schema.MinLength)})
	}
	if schema.MaxLength != nil {
		rules = append(rules, rule{path, fmt.Sprintf("may not be more than %d bytes", *schema.MaxLength)})
	}
	if schema.Pattern != "" && strings.HasPrefix(path, "spec") {
		rules = append(rules, rule{path, "should match"})
	}
	if schema.Enum != nil {
		rules = append(rules, rule{path, "Unsupported value"})
	}
	if schema.Minimum != nil && *schema.Minimum >= 0 {
		rules = append(rules, rule{path, fmt.Sprintf("should be greater than or equal to %v", *schema.Minimum)})
	}
	if schema.Maximum != nil && *schema.Maximum < math.MaxInt32 {
		rules = append(rules, rule{path, fmt.Sprintf("should be less than or equal to %v", *schema.Maximum)})
	}
	if schema.MinProperties != nil {
		rules = append(rules, rule{path, fmt.Sprintf("should have at least %d properties", *schema.MinProperties)})
	}
	if schema.MaxItems != nil {
		rules = append(rules, rule{path, fmt.Sprintf("must have at most %d items", *schema.MaxItems)})
	}
	for _, validation := range schema.XValidations {
		rules = append(rules, rule{path + validation.FieldPath, validation.Message})
	}
	for name, property := range schema.Properties {
		rules = append(rules, rulesBelow(path+"."+name, property)...)
	}
	return rules
}
