// Chart writes the parts of the Helm chart that follow from other files: from config/ the CRDs, roles, admission policies, alerts and dashboard, where
// what a value of the chart can change becomes a template, and from values.yaml the table of values. The other templates are
// written by hand.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	header = "{{- /* Generated from config/ by `make generate`. */}}\n"
	// team is the namespace that config/namespaced serves as an example.
	team     = "team-a"
	system   = "clientbinding-system"
	operator = "clientbinding-operator"
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
	files := map[string]string{}
	for _, directory := range []string{"config/default", "config/examples/finalizer-at-creation", "config/namespaced", "config/examples/prometheus", "config/shards"} {
		objects, err := sandbox.Render(ctx, directory)
		if err != nil {
			return err
		}
		for _, object := range objects {
			file, condition := place(directory, object)
			if file == "" {
				continue
			}
			text, err := template(object)
			if err != nil {
				return err
			}
			files[file] += when(condition, text)
		}
	}
	files["namespaces.yaml"] = "{{- range .Values.namespaces }}\n" + files["namespaces.yaml"] + "{{- end }}\n"
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(chart, "templates", name), []byte(header+text), 0o600); err != nil {
			return err
		}
	}
	if err := copyCRDs(chart); err != nil {
		return err
	}
	dashboard, err := os.ReadFile("config/grafana/dashboard.json")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(chart, "dashboard.json"), dashboard, 0o600); err != nil {
		return err
	}
	return writeTable(chart)
}

// copyCRDs copies the CRDs, which are no templates: Helm installs them before everything else, and never deletes them. The annotation
// is for tools such as Argo CD, which would delete them with the application.
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
		text := strings.Replace(string(content), "\nmetadata:\n  annotations:\n", "\nmetadata:\n  annotations:\n    helm.sh/resource-policy: keep\n", 1)
		if err := os.WriteFile(filepath.Join(chart, "crds", filepath.Base(path)), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}
