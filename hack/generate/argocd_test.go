package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// Both forms, read as YAML, hold the scripts to the letter.
func TestFormsHoldTheScripts(t *testing.T) {
	dir := t.TempDir()
	health := "local hs = {}\n\nif obj.status ~= nil then\n  hs.status = \"Healthy\" -- 'quoted': {yes}\nend\nreturn hs\n"
	discovery := "return {[\"run\"] = {}}\n"
	action := "obj.x = 1\n\nreturn obj\n"
	for path, text := range map[string]string{
		"example.com/Thing/health.lua":              "\n" + health + "\n",
		"example.com/Thing/actions/discovery.lua":   discovery,
		"example.com/Thing/actions/run/action.lua":  action,
		"example.com/Thing/actions/walk/action.lua": action,
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writeCustomizations(t, dir)

	var patch struct {
		Kind string            `json:"kind"`
		Data map[string]string `json:"data"`
	}
	parse(t, filepath.Join(dir, "argocd-cm.yaml"), &patch)
	var values struct {
		Configs struct {
			CM map[string]string `json:"cm"`
		} `json:"configs"`
	}
	parse(t, filepath.Join(dir, "values.yaml"), &values)
	if diff := cmp.Diff(patch.Data, values.Configs.CM); diff != "" {
		t.Errorf("-argocd-cm.yaml +values.yaml:\n%s", diff)
	}
	if got := patch.Data["resource.customizations.health.example.com_Thing"]; got != health {
		t.Errorf("health.lua became %q", got)
	}
	type definition struct {
		Name   string `json:"name"`
		Action string `json:"action.lua"`
	}
	type actions struct {
		Discovery   string       `json:"discovery.lua"`
		Definitions []definition `json:"definitions"`
	}
	var got actions
	if err := yaml.UnmarshalStrict([]byte(patch.Data["resource.customizations.actions.example.com_Thing"]), &got); err != nil {
		t.Fatal(err)
	}
	want := actions{Discovery: discovery, Definitions: []definition{{"run", action}, {"walk", action}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func parse(t *testing.T, path string, into any) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, into); err != nil {
		t.Fatal(err)
	}
}
