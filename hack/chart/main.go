// Chart writes the parts of the Helm chart that follow from config/: the CRDs, roles and admission policies. What a value of the chart
// can change of them becomes a template. The other templates are written by hand.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	header = "{{- /* Generated from config/ by `make generate`. */}}\n"
	// team is the namespace that config/namespaced serves as an example.
	team   = "team-a"
	system = "clientbinding-system"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: chart CHART")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, chart string) error {
	everywhere, err := sandbox.Render(ctx, "config/default")
	if err != nil {
		return err
	}
	namespaced, err := sandbox.Render(ctx, "config/namespaced")
	if err != nil {
		return err
	}
	files := map[string]string{}
	for _, object := range everywhere {
		text, err := template(object)
		if err != nil {
			return err
		}
		switch kind := object.GetKind(); kind {
		case "CustomResourceDefinition":
			continue
		case "ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding":
			files["rbac.yaml"] += when(roleCondition(object), text)
		case "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding":
			files["policies.yaml"] += when(policyCondition(object), text)
		}
	}
	for _, object := range namespaced {
		if object.GetNamespace() != team {
			continue
		}
		text, err := template(object)
		if err != nil {
			return err
		}
		files["namespaces.yaml"] += "---\n" + text
	}
	files["namespaces.yaml"] = "{{- range .Values.namespaces }}\n" + files["namespaces.yaml"] + "{{- end }}\n"
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(chart, "templates", name), []byte(header+text), 0o600); err != nil {
			return err
		}
	}
	return copyCRDs(chart)
}

// copyCRDs copies the CRDs, which are no templates: Helm installs them before everything else.
func copyCRDs(chart string) error {
	crds, err := filepath.Glob("config/crd/bases/*.yaml")
	if err != nil {
		return err
	}
	for _, path := range crds {
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(chart, "crds"), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(chart, "crds", filepath.Base(path)), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
