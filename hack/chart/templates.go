package main

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// roleCondition is the condition under which a role is installed; "" for always.
func roleCondition(object *unstructured.Unstructured) string {
	// The rights in all namespaces, in place of which there are those of namespaces.yaml.
	if object.GetNamespace() == "" && object.GetName() == "clientbinding-operator" {
		return "not .Values.namespaces"
	}
	return ""
}

// policyCondition is the condition under which an admission policy is installed.
func policyCondition(object *unstructured.Unstructured) string {
	mutating := strings.HasPrefix(object.GetKind(), "Mutating")
	switch {
	case object.GetName() == "clientbinding-operator-requester":
		return on("requester", mutating)
	case mutating:
		return on("finalizers", mutating)
	default:
		return enforced
	}
}

const enforced = `ne .Values.policies.enforcement "Off"`

func on(value string, mutating bool) string {
	if mutating {
		return ".Values.policies." + value
	}
	return "and .Values.policies." + value + " (" + enforced + ")"
}

// when puts a condition around a document.
func when(condition, text string) string {
	if condition == "" {
		return "---\n" + text
	}
	return "{{- if " + condition + " }}\n---\n" + text + "{{- end }}\n"
}

// terms are the settings of the policy clientbinding-operator-grants, with what their CEL expressions are made from.
var terms = map[string]string{
	"standardNeedsGrant":      `{{ .Values.policies.terms.standardNeedsGrant }}`,
	"ownerNeedsJustification": `{{ .Values.policies.terms.ownerNeedsJustification }}`,
	"longestOwner":            `duration('{{ .Values.policies.terms.longestOwner }}')`,
	"longestTemporary":        `duration('{{ .Values.policies.terms.longestTemporary }}')`,
}

// template turns an object of config/ into a template.
func template(object *unstructured.Unstructured) (string, error) {
	object = object.DeepCopy()
	scope := "$"
	if labels := object.GetLabels(); labels == nil {
		labels = map[string]string{
			"app.kubernetes.io/name":    "clientbinding-operator",
			"app.kubernetes.io/part-of": "clientbinding-operator",
		}
		object.SetLabels(labels)
	}
	plain, err := yaml.Marshal(object.Object)
	if err != nil {
		return "", err
	}
	if strings.Contains(string(plain), "{{") {
		return "", fmt.Errorf("%s %s has two braces, which the chart would take for a template", object.GetKind(), object.GetName())
	}
	if object.GetName() == "clientbinding-operator-credentials" && object.GetKind() == "RoleBinding" {
		// The operator protects it while there is access to revoke with it.
		object.SetAnnotations(map[string]string{"helm.sh/resource-policy": "keep"})
	}
	if object.GetName() == "clientbinding-operator-grants" && object.GetKind() == "ValidatingAdmissionPolicy" {
		if err := setTerms(object); err != nil {
			return "", err
		}
	}
	text, err := yaml.Marshal(object.Object)
	if err != nil {
		return "", err
	}
	return strings.NewReplacer(
		"\n    app.kubernetes.io/part-of: clientbinding-operator\n",
		"\n    app.kubernetes.io/part-of: clientbinding-operator\n    {{- include \"clientbinding-operator.labels\" "+scope+" | nindent 4 }}\n",
		"namespace: "+system+"\n", "namespace: {{ "+scope+".Release.Namespace }}\n",
		"namespace: "+team+"\n", "namespace: {{ . }}\n",
		"validationActions:\n  - Deny\n", "validationActions: {{ include \"clientbinding-operator.validationActions\" "+scope+" }}\n",
	).Replace(string(text)), nil
}

// setTerms puts templates in the place of the policy's settings.
func setTerms(policy *unstructured.Unstructured) error {
	variables, _, err := unstructured.NestedSlice(policy.Object, "spec", "variables")
	if err != nil {
		return err
	}
	found := 0
	for _, variable := range variables {
		variable := variable.(map[string]any)
		if expression, is := terms[variable["name"].(string)]; is {
			variable["expression"] = expression
			found++
		}
	}
	if found != len(terms) {
		return fmt.Errorf("the policy %s has %d of the %d settings that the chart has", policy.GetName(), found, len(terms))
	}
	return unstructured.SetNestedSlice(policy.Object, variables, "spec", "variables")
}
