// Command customizations writes, from the Lua scripts in config/argocd, the two forms in which Argo CD is given them:
// a patch of its ConfigMap argocd-cm, and values of its Helm chart. The scripts are laid out as in the folder
// resource_customizations of Argo CD's repository, and are the only source of both.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

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
	entries, err := read(dir)
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"argocd-cm.yaml": configMap(entries),
		"values.yaml":    helmValues(entries),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
