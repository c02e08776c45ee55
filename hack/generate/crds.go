package main

import (
	"sigs.k8s.io/yaml"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// restrictCRD has the schemas of a CRD refuse what Go cannot decode: times and numbers. It rewrites the file.
//
// controller-gen writes a time as a string of the format date-time. That lets in what Go's parser refuses, such as a small
// z, and with a format the API server does not even check that the value is a string. A pattern in the place of the format
// does both. A CEL rule would do so, too, but a rule that meets a value of another type is an error in the API server, also
// for a value that was stored before and does not change; a pattern leaves such a value alone (ratcheting).
func restrictCRD(t sandbox.T, file string) {
	var crd map[string]any
	sandbox.Must(t, yaml.Unmarshal([]byte(read(t, file)), &crd))
	restrict(crd)
	written, err := yaml.Marshal(crd)
	sandbox.Must(t, err)
	write(t, file, "---\n"+string(written))
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
			for bound, value := range map[string]int64{"maximum": largest[format], "minimum": -largest[format]} {
				if _, bounded := part[bound]; !bounded {
					part[bound] = value
				}
			}
		}
	}
}
