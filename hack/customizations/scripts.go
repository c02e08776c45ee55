package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// entry is one key of Argo CD's configuration.
type entry struct{ key, text string }

// read makes the entries of all kinds, from GROUP/KIND/health.lua and GROUP/KIND/actions.
func read(dir string) ([]entry, error) {
	scripts, err := filepath.Glob(filepath.Join(dir, "*", "*", "health.lua"))
	if err != nil {
		return nil, err
	}
	if len(scripts) == 0 {
		return nil, fmt.Errorf("no GROUP/KIND/health.lua below %s", dir)
	}
	var entries []entry
	for _, script := range scripts {
		health, err := text(script)
		if err != nil {
			return nil, err
		}
		kind := filepath.Dir(script)
		actions, err := readActions(filepath.Join(kind, "actions"))
		if err != nil {
			return nil, err
		}
		// Wildcards and slashes are not allowed in these keys; an underscore stands between group and kind.
		name := filepath.Base(filepath.Dir(kind)) + "_" + filepath.Base(kind)
		entries = append(entries,
			entry{"resource.customizations.health." + name, health},
			entry{"resource.customizations.actions." + name, actions})
	}
	return entries, nil
}

// readActions writes discovery.lua and each NAME/action.lua as the one document that Argo CD expects.
func readActions(dir string) (string, error) {
	discovery, err := text(filepath.Join(dir, "discovery.lua"))
	if err != nil {
		return "", err
	}
	scripts, err := filepath.Glob(filepath.Join(dir, "*", "action.lua"))
	if err != nil {
		return "", err
	}
	slices.Sort(scripts)
	var document strings.Builder
	document.WriteString("discovery.lua: |\n" + indent(discovery, 2) + "definitions:\n")
	for _, script := range scripts {
		action, err := text(script)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&document, "- name: %s\n  action.lua: |\n%s", filepath.Base(filepath.Dir(script)), indent(action, 4))
	}
	return document.String(), nil
}

func text(path string) (string, error) {
	content, err := os.ReadFile(path)
	return strings.TrimSpace(string(content)) + "\n", err
}

// indent moves the lines of a text to the right; empty ones stay empty.
func indent(text string, by int) string {
	var indented strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			indented.WriteString(strings.Repeat(" ", by))
		}
		indented.WriteString(line)
	}
	return indented.String()
}
