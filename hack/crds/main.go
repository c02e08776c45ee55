// crds makes the schemas of CRDs refuse times and numbers that Go cannot decode. It rewrites the named files.
//
// controller-gen writes a time as a string of the format date-time. This format allows times that Go's parser refuses, such as with a small
// z. With a format the API server does not even check that the value is a string. A pattern instead of the format
// checks both. A CEL rule could do so, too. But a rule on a value of another type is an error in the API server, also
// for a value that was stored before and does not change. A pattern accepts such a value (ratcheting).
package main

import (
	"bytes"
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

func main() {
	for _, file := range os.Args[1:] {
		if err := rewrite(file); err != nil {
			fmt.Fprintf(os.Stderr, "crds: %s: %v\n", file, err)
			os.Exit(1)
		}
	}
}

func rewrite(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var crd map[string]any
	if err := yaml.Unmarshal(content, &crd); err != nil {
		return err
	}
	restrict(crd)
	written, err := yaml.Marshal(crd)
	if err != nil {
		return err
	}
	return os.WriteFile(file, bytes.Join([][]byte{[]byte("---\n"), written}, nil), 0o600)
}

// timePattern matches times in UTC and whole seconds, the form that the operator writes. With another form a GitOps tool
// would see a difference. Its first part matches nothing and is for people, because the API server shows the pattern.
const timePattern = "^(a time in UTC as in 2026-12-31T17:00:00Z){0}" +
	"([12][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))" +
	"|(1[26]00|2[048]00|[12][0-9](0[48]|[2468][048]|[13579][26]))-02-29)" +
	"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$"

// The bounds of integers: those of int32, and for int64 the bounds up to which a floating-point number has every integer,
// because JSON may be read as such numbers on the way.
var largest = map[any]int64{"int32": 1<<31 - 1, "int64": 1<<53 - 1}

// restrict changes all schemas in a part of a CRD.
func restrict(part any) {
	switch part := part.(type) {
	case []any:
		for _, element := range part {
			restrict(element)
		}
	case map[string]any:
		for _, value := range part {
			restrict(value)
		}
		switch format := part["format"]; {
		case part["type"] == "string" && format == "date-time":
			delete(part, "format")
			part["pattern"] = timePattern
		case part["type"] == "integer" && largest[format] > 0:
			setIfAbsent(part, "maximum", largest[format])
			setIfAbsent(part, "minimum", -largest[format])
		}
	}
}

func setIfAbsent(in map[string]any, key string, value int64) {
	if _, is := in[key]; !is {
		in[key] = value
	}
}
