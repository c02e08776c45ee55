package v1alpha1

import (
	encodingjson "encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/json"
)

// Every object of both kinds that the API server has stored decodes. If one of them did not, every list and every watch of
// its kind would fail, and with it the operator for all. The CRDs refuse what Go cannot decode, but an object that
// was stored under an older CRD is not validated again.

// UnreadableField is a field of a stored object that does not decode into its Go type.
type UnreadableField struct {
	// Path of the field, as in spec.expiresAt or status.conditions[0].
	Path string
	// Problem is why the field does not decode. It may repeat the value.
	Problem string
}

// UnreadableFields are the fields that decoding left out of an object. An update with such an object would remove them
// from the API server; a patch of other fields leaves them as they are.
type UnreadableFields []UnreadableField

// Under returns the unreadable fields at and below a path, as in spec.
func (f UnreadableFields) Under(path string) UnreadableFields {
	return slices.DeleteFunc(slices.Clone(f), func(field UnreadableField) bool {
		rest, under := strings.CutPrefix(field.Path, path)
		return !under || rest != "" && rest[0] != '.' && rest[0] != '['
	})
}

// String lists the fields and their problems for people.
func (f UnreadableFields) String() string {
	texts := make([]string, len(f))
	for i, field := range f {
		texts[i] = field.Path + " (" + field.Problem + ")"
	}
	return strings.Join(texts, ", ")
}

// UnmarshalJSON decodes a stored object. A field that does not decode is left out and named in UnreadableFields. An error
// means that the data is no JSON object.
func (b *ClientBinding) UnmarshalJSON(data []byte) (err error) {
	type stored ClientBinding // without this method
	b.UnreadableFields, err = decodeReadable(data, (*stored)(b))
	return err
}

// UnmarshalJSON decodes a stored object. A field that does not decode is left out and named in UnreadableFields. An error
// means that the data is no JSON object.
func (c *APIConnection) UnmarshalJSON(data []byte) (err error) {
	type stored APIConnection // without this method
	c.UnreadableFields, err = decodeReadable(data, (*stored)(c))
	return err
}

// decodeReadable decodes into the value behind a pointer the fields that decode, and returns the others.
func decodeReadable(data []byte, into any) (UnreadableFields, error) {
	if json.Unmarshal(data, into) == nil {
		return nil, nil
	}
	var parsed map[string]any
	if err := json.Unmarshal(data, &parsed); err != nil {
		return nil, err
	}
	value := reflect.ValueOf(into).Elem()
	value.SetZero() // the first attempt may have set fields
	readable, unreadable := pruneUnreadable(parsed, value.Type(), "")
	pruned, err := json.Marshal(readable)
	if err != nil {
		return nil, err
	}
	return unreadable, json.Unmarshal(pruned, into)
}

var unmarshaler = reflect.TypeFor[encodingjson.Unmarshaler]()

// pruneUnreadable returns the parts of a JSON value that decode into a type; nil if there are none.
func pruneUnreadable(value any, into reflect.Type, path string) (readable any, unreadable UnreadableFields) {
	for into.Kind() == reflect.Pointer {
		into = into.Elem()
	}
	if !reflect.PointerTo(into).Implements(unmarshaler) {
		switch value := value.(type) {
		case map[string]any:
			switch into.Kind() {
			case reflect.Struct:
				return pruneFields(value, into, path)
			case reflect.Map:
				return pruneValues(value, into, path)
			}
		case []any:
			if into.Kind() == reflect.Slice {
				return pruneElements(value, into, path)
			}
		}
	}
	encoded, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(encoded, reflect.New(into).Interface())
	}
	if err != nil {
		return nil, UnreadableFields{{Path: path, Problem: shortened(err.Error())}}
	}
	return value, nil
}

func pruneFields(value map[string]any, into reflect.Type, path string) (readable map[string]any, unreadable UnreadableFields) {
	readable = map[string]any{}
	for field := range into.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch content, present := value[name]; {
		case field.Anonymous && name == "":
			inlined, problems := pruneFields(value, field.Type, path)
			for name, content := range inlined {
				readable[name] = content
			}
			unreadable = append(unreadable, problems...)
		case present:
			pruned, problems := pruneUnreadable(content, field.Type, join(path, name))
			if pruned != nil {
				readable[name] = pruned
			}
			unreadable = append(unreadable, problems...)
		}
	}
	return readable, unreadable
}

func pruneValues(value map[string]any, into reflect.Type, path string) (readable map[string]any, unreadable UnreadableFields) {
	readable = map[string]any{}
	for key, content := range value {
		pruned, problems := pruneUnreadable(content, into.Elem(), join(path, key))
		if pruned != nil {
			readable[key] = pruned
		}
		unreadable = append(unreadable, problems...)
	}
	return readable, unreadable
}

// pruneElements leaves an element out as a whole: half a condition would be written back as something else.
func pruneElements(value []any, into reflect.Type, path string) (readable []any, unreadable UnreadableFields) {
	readable = []any{}
	for i, content := range value {
		_, problems := pruneUnreadable(content, into.Elem(), fmt.Sprintf("%s[%d]", path, i))
		if len(problems) == 0 {
			readable = append(readable, content)
		}
		unreadable = append(unreadable, problems...)
	}
	return readable, unreadable
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// longestProblem is the number of characters at which a problem is cut: it may repeat the value, of any length.
const longestProblem = 160

func shortened(problem string) string {
	if runes := []rune(problem); len(runes) > longestProblem {
		return string(runes[:longestProblem]) + "…"
	}
	return problem
}
