package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The table stands between these two lines of the chart's README.
const (
	tableBegins = "<!-- values: generated from values.yaml by `make generate` -->\n"
	tableEnds   = "<!-- end of values -->\n"
)

// writeTable puts the table of the chart's values into its README. A value is explained by the comment before it, which
// begins with two dashes.
func writeTable(chart string) error {
	content, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		return err
	}
	rows, err := valueRows("", document.Content[0])
	if err != nil {
		return err
	}
	table := "| value | default | meaning |\n| --- | --- | --- |\n" + strings.Join(rows, "")

	readme := filepath.Join(chart, "README.md")
	text, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(text, []byte(tableBegins))
	_, after, ends := bytes.Cut(rest, []byte(tableEnds))
	if !found || !ends {
		return fmt.Errorf("%s has no place for the table of values", readme)
	}
	written := string(before) + tableBegins + "\n" + table + "\n" + tableEnds + string(after)
	return os.WriteFile(readme, []byte(written), 0o600)
}

// valueRows returns the rows of a mapping and of those in it that have no explanation of their own.
func valueRows(prefix string, mapping *yaml.Node) ([]string, error) {
	var rows []string
	for i := 0; i < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		name := prefix + key.Value
		_, meaning, explained := strings.Cut(key.HeadComment, "# -- ")
		switch {
		case explained:
			standard, err := asJSON(value)
			if err != nil {
				return nil, err
			}
			rows = append(rows, fmt.Sprintf("| `%s` | `%s` | %s |\n", name, standard, strings.ReplaceAll(meaning, "|", `\|`)))
		case value.Kind == yaml.MappingNode && len(value.Content) > 0:
			inner, err := valueRows(name+".", value)
			if err != nil {
				return nil, err
			}
			rows = append(rows, inner...)
		default:
			return nil, fmt.Errorf("the value %s has no comment that begins with `# -- `", name)
		}
	}
	return rows, nil
}

func asJSON(node *yaml.Node) (string, error) {
	var value any
	if err := node.Decode(&value); err != nil {
		return "", err
	}
	text, err := json.Marshal(value)
	return string(text), err
}
