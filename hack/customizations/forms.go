package main

import (
	"fmt"
	"strings"
)

const origin = "# Written by `make generate` from the scripts beside this file; edit those.\n"

// configMap is a patch for the ConfigMap that Argo CD reads.
func configMap(entries []entry) string {
	return origin + `apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
data:
` + blocks(entries, 2)
}

// helmValues are values of the chart argo-cd.
func helmValues(entries []entry) string {
	return origin + "configs:\n  cm:\n" + blocks(entries, 4)
}

func blocks(entries []entry, at int) string {
	var text strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&text, "%s%s: |\n%s", strings.Repeat(" ", at), e.key, indent(e.text, at+2))
	}
	return text.String()
}
