package main

import (
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// place says into which file of the chart an object goes that kustomize built from a directory, and under which condition it is
// installed. The file is "" for objects that are written by hand or in another file already.
func place(directory string, object *unstructured.Unstructured) (file, condition string) {
	kind, name := object.GetKind(), object.GetName()
	const enforced = `ne .Values.policies.enforcement "Off"`
	switch {
	case directory != "config/default":
		return placeAddition(directory, object)
	case strings.HasPrefix(kind, "ClusterRole") && name == operator:
		// In their place are those of namespaces.yaml.
		return "rbac.yaml", "not .Values.namespaces"
	case strings.Contains(kind, "Role"), kind == "ServiceAccount":
		return "rbac.yaml", ""
	case strings.HasPrefix(kind, "Mutating") && name == operator+"-requester":
		return "policies.yaml", ".Values.policies.requester"
	case strings.HasPrefix(kind, "Mutating"):
		return "policies.yaml", ".Values.policies.finalizers"
	case strings.HasPrefix(kind, "Validating") && name == operator+"-requester":
		return "policies.yaml", "and .Values.policies.requester (" + enforced + ")"
	case strings.HasPrefix(kind, "Validating"):
		return "policies.yaml", enforced
	default:
		return "", ""
	}
}

// placeAddition is place for what another directory than config/default adds to it.
func placeAddition(directory string, object *unstructured.Unstructured) (file, condition string) {
	switch {
	case directory == "config/namespaced" && object.GetNamespace() == team:
		return "namespaces.yaml", ""
	case directory == "config/examples/finalizer-at-creation" && object.GetName() == operator+"-creation":
		// A dry run lets nothing go.
		return "policies.yaml", "and .Values.policies.creation (not .Values.dryRun)"
	case directory == "config/shards":
		return "rbac.yaml", ".Values.shards"
	case directory == "config/examples/prometheus" && object.GetKind() == "PrometheusRule":
		return "prometheus_rule.yaml", ".Values.prometheusRule.enabled"
	default:
		return "", ""
	}
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

// changes are what becomes a template wherever it stands.
var changes = strings.NewReplacer(
	"\n    app.kubernetes.io/part-of: clientbinding-operator\n",
	"\n    app.kubernetes.io/part-of: clientbinding-operator\n    {{- include \"clientbinding-operator.labels\" $ | nindent 4 }}\n",
	"namespace: "+system+"\n", "namespace: {{ $.Release.Namespace }}\n",
	"namespace: "+team+"\n", "namespace: {{ . }}\n",
	"validationActions:\n  - Deny\n", "validationActions: {{ include \"clientbinding-operator.validationActions\" $ }}\n",
)

// template turns an object of config/ into a template.
func template(t sandbox.T, object *unstructured.Unstructured) string {
	labels := object.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, map[string]string{"app.kubernetes.io/name": operator, "app.kubernetes.io/part-of": operator})
	object.SetLabels(labels)
	plain, err := yaml.Marshal(object.Object)
	sandbox.Must(t, err)
	text := changes.Replace(strings.ReplaceAll(string(plain), "{{", `{{ "{{" }}`))
	switch kind, name := object.GetKind(), object.GetName(); {
	case kind == "RoleBinding" && name == operator+"-credentials":
		// The operator protects it while there is access to revoke with it.
		return replaceOnce(t, text, "\nmetadata:\n", "\nmetadata:\n  annotations:\n    helm.sh/resource-policy: keep\n")
	case kind == "ValidatingAdmissionPolicy" && name == operator+"-grants":
		return setTerms(t, text)
	case kind == "MutatingAdmissionPolicyBinding" && name == operator+"-creation":
		// Elsewhere nobody would take the finalizer off again.
		return replaceOnce(t, text, "namespaceSelector: {}\n", servedNamespaces)
	case kind == "PrometheusRule":
		return replaceOnce(t, text, "$ | nindent 4 }}\n", "$ | nindent 4 }}\n    {{- with .Values.prometheusRule.labels }}\n    {{- toYaml . | nindent 4 }}\n    {{- end }}\n")
	case kind == "ServiceAccount":
		return replaceOnce(t, text, "metadata:\n", "metadata:\n  {{- with .Values.serviceAccount.annotations }}\n  annotations:\n    {{- toYaml . | nindent 4 }}\n  {{- end }}\n")
	}
	return text
}

// servedNamespaces selects the namespaces that the operator serves.
const servedNamespaces = `namespaceSelector:
      {{- with .Values.namespaces }}
      matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: In
        values:
        {{- toYaml . | nindent 8 }}
      {{- else }} {}
      {{- end }}
`

func replaceOnce(t sandbox.T, text, old, replacement string) string {
	if strings.Count(text, old) != 1 {
		t.Fatal(fmt.Sprintf("%q is not once in\n%s", old, text))
	}
	return strings.Replace(text, old, replacement, 1)
}

// setTerms puts templates in the place of the policy's settings.
func setTerms(t sandbox.T, policy string) string {
	for name, expression := range terms {
		setting := regexp.MustCompile(`(?m)^  - expression: .*\n    name: ` + name + "\n")
		if len(setting.FindAllString(policy, -1)) != 1 {
			t.Fatal("the policy has not once the setting " + name)
		}
		policy = setting.ReplaceAllLiteralString(policy, "  - expression: "+strconv.Quote(expression)+"\n    name: "+name+"\n")
	}
	return policy
}
