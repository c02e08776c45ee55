package main

import (
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const origin = "# Written by `make generate` from the scripts beside this file; edit those.\n"

// writeCustomizations writes, from the Lua scripts in a directory, the two forms in which Argo CD is given them:
// a patch of its ConfigMap argocd-cm, and values of its Helm chart. The scripts are laid out as in the folder
// resource_customizations of Argo CD's repository, and are the only source of both.
func writeCustomizations(t sandbox.T, dir string) {
	glob := func(path ...string) []string {
		found, err := filepath.Glob(filepath.Join(path...))
		sandbox.Must(t, err)
		return found
	}
	script := func(path ...string) string { return strings.TrimSpace(read(t, filepath.Join(path...))) + "\n" }
	settings := map[string]string{}
	for _, health := range glob(dir, "*", "*", "health.lua") {
		kind := filepath.Dir(health)
		// Wildcards and slashes are not allowed in these keys; an underscore stands between group and kind.
		name := filepath.Base(filepath.Dir(kind)) + "_" + filepath.Base(kind)
		settings["resource.customizations.health."+name] = script(health)
		var definitions []map[string]string
		for _, action := range glob(kind, "actions", "*", "action.lua") {
			definitions = append(definitions, map[string]string{"name": filepath.Base(filepath.Dir(action)), "action.lua": script(action)})
		}
		// Argo CD expects them as one document.
		actions, err := yaml.Marshal(map[string]any{"discovery.lua": script(kind, "actions", "discovery.lua"), "definitions": definitions})
		sandbox.Must(t, err)
		settings["resource.customizations.actions."+name] = string(actions)
	}
	for name, content := range map[string]any{
		"argocd-cm.yaml": map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]string{"name": "argocd-cm"}, "data": settings,
		},
		"values.yaml": map[string]any{"configs": map[string]any{"cm": settings}},
	} {
		text, err := yaml.Marshal(content)
		sandbox.Must(t, err)
		write(t, filepath.Join(dir, name), origin+string(text))
	}
}
