// Command customizations writes, from the Lua scripts in config/argocd, the two forms in which Argo CD is given them:
// a patch of its ConfigMap argocd-cm, and values of its Helm chart. The scripts are laid out as in the folder
// resource_customizations of Argo CD's repository, and are the only source of both.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

const origin = "# Written by `make generate` from the scripts beside this file; edit those.\n"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: customizations DIRECTORY")
		os.Exit(2)
	}
	if err := generate(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "customizations:", err)
		os.Exit(1)
	}
}

// generate writes both forms into the directory that holds the scripts.
func generate(dir string) error {
	settings, err := read(dir)
	if err != nil {
		return err
	}
	for name, content := range map[string]any{
		"argocd-cm.yaml": map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]string{"name": "argocd-cm"}, "data": settings,
		},
		"values.yaml": map[string]any{"configs": map[string]any{"cm": settings}},
	} {
		text, err := yaml.Marshal(content)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), append([]byte(origin), text...), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// read makes the keys of Argo CD's configuration for all kinds, from GROUP/KIND/health.lua and GROUP/KIND/actions.
func read(dir string) (map[string]string, error) {
	kinds, err := filepath.Glob(filepath.Join(dir, "*", "*", "health.lua"))
	if err != nil {
		return nil, err
	}
	if len(kinds) == 0 {
		return nil, fmt.Errorf("no GROUP/KIND/health.lua below %s", dir)
	}
	settings := map[string]string{}
	for _, health := range kinds {
		kind := filepath.Dir(health)
		// Wildcards and slashes are not allowed in these keys; an underscore stands between group and kind.
		name := filepath.Base(filepath.Dir(kind)) + "_" + filepath.Base(kind)
		if settings["resource.customizations.health."+name], err = script(health); err != nil {
			return nil, err
		}
		if settings["resource.customizations.actions."+name], err = readActions(filepath.Join(kind, "actions")); err != nil {
			return nil, err
		}
	}
	return settings, nil
}

// readActions writes discovery.lua and each NAME/action.lua as the one document that Argo CD expects.
func readActions(dir string) (string, error) {
	discovery, err := script(filepath.Join(dir, "discovery.lua"))
	if err != nil {
		return "", err
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*", "action.lua"))
	if err != nil {
		return "", err
	}
	var definitions []map[string]string
	for _, path := range paths {
		action, err := script(path)
		if err != nil {
			return "", err
		}
		definitions = append(definitions, map[string]string{"name": filepath.Base(filepath.Dir(path)), "action.lua": action})
	}
	text, err := yaml.Marshal(map[string]any{"discovery.lua": discovery, "definitions": definitions})
	return string(text), err
}

func script(path string) (string, error) {
	content, err := os.ReadFile(path)
	return strings.TrimSpace(string(content)) + "\n", err
}
