package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// valueRows returns the rows of a mapping and of those in it that have no explanation of their own. A value is explained by the comment before
// it, which begins with two dashes.
func valueRows(t sandbox.T, prefix string, mapping *yaml.Node) (rows []string) {
	for i := 0; i < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		name := prefix + key.Value
		_, meaning, explained := strings.Cut(key.HeadComment, "# -- ")
		switch {
		case explained:
			var standard any
			sandbox.Must(t, value.Decode(&standard))
			text, err := json.Marshal(standard)
			sandbox.Must(t, err)
			rows = append(rows, fmt.Sprintf("| `%s` | `%s` | %s |", name, text, strings.ReplaceAll(meaning, "|", `\|`)))
		case value.Kind == yaml.MappingNode && len(value.Content) > 0:
			rows = append(rows, valueRows(t, name+".", value)...)
		default:
			t.Fatal(fmt.Sprintf("the value %s has no comment that begins with `# -- `", name))
		}
	}
	return rows
}
