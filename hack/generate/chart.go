package main

import (
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	header = "{{- /* Generated from config/ by `make generate`. */}}\n"
	// team is the namespace that config/namespaced serves as an example.
	team     = "team-a"
	system   = "clientbinding-system"
	operator = "clientbinding-operator"
)

// writeChart writes the parts of the Helm chart that follow from other files: from config/ the CRDs, roles, admission policies, alerts and dashboard, where
// what a value of the chart can change becomes a template, and from values.yaml the table of values. The other templates are
// written by hand.
func writeChart(t sandbox.T, chart string) {
	files := map[string]string{}
	for _, directory := range []string{"config/default", "config/examples/finalizer-at-creation", "config/namespaced", "config/examples/prometheus", "config/shards"} {
		objects, err := sandbox.Render(t.Context(), directory)
		sandbox.Must(t, err)
		for _, object := range objects {
			if file, condition := place(directory, object); file != "" {
				files[file] += when(condition, template(t, object))
			}
		}
	}
	files["namespaces.yaml"] = "{{- range .Values.namespaces }}\n" + files["namespaces.yaml"] + "{{- end }}\n"
	for name, text := range files {
		write(t, filepath.Join(chart, "templates", name), header+text)
	}
	// CRDs are no templates: Helm installs them before everything else, and never deletes them. The annotation is for tools such as Argo CD, which
	// would delete them with the application.
	crds, err := filepath.Glob("config/crd/bases/*.yaml")
	sandbox.Must(t, err)
	sandbox.Must(t, os.MkdirAll(filepath.Join(chart, "crds"), 0o755))
	for _, path := range crds {
		text := replaceOnce(t, read(t, path), "\nmetadata:\n  annotations:\n", "\nmetadata:\n  annotations:\n    helm.sh/resource-policy: keep\n")
		write(t, filepath.Join(chart, "crds", filepath.Base(path)), text)
	}
	write(t, filepath.Join(chart, "dashboard.json"), read(t, "config/grafana/dashboard.json"))
	var values yaml.Node
	sandbox.Must(t, yaml.Unmarshal([]byte(read(t, filepath.Join(chart, "values.yaml"))), &values))
	fillIn(t, filepath.Join(chart, "README.md"), "values", append([]string{"| value | default | meaning |"}, valueRows(t, "", values.Content[0])...))
}
