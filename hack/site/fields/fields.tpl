{{- /* The tables of one kind: a heading for each object of the schema, by its path, and a row for each of its fields. */ -}}
{{- define "gvList" -}}
{{- range . }}{{ with .TypeForKind (markdownTemplateValue "kind") }}
{{- range .Members }}{{ if has .Name (list "spec" "status") }}{{ template "object" (dict "path" .Name "doc" .Doc "type" .Type) }}{{ end }}{{ end }}
{{- end }}{{ end }}
{{- end }}

{{- define "object" }}
### {{ .path }}

{{ regexReplaceAll "\\s*\n\\s*" .doc " " }}

| field | type | meaning |
| --- | --- | --- |
{{- range .type.Members }}
| `{{ .Name }}` | {{ template "type" .Type }} | {{ if index .Markers "required" }}**Required.** {{ end }}{{ regexReplaceAll "\\s*\n\\s*" .Doc " " | replace "|" "\\|" | replace "*" "\\*" }} |
{{- end }}
{{ $path := .path }}
{{- range .type.Members }}
{{- if and .Type.Members (contains "clientbinding-operator" (default "" (default .Type .Type.UnderlyingType).Package)) }}
{{- template "object" (dict "path" (print $path "." .Name (eq .Type.Kind 5 | ternary "[]" "")) "doc" .Doc "type" .Type) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "type" -}}
{{- with .EnumValues }}{{ range $i, $value := . }}{{ if $i }}, {{ end }}`{{ $value.Name }}`{{ end }}
{{- else }}
{{- if eq .Kind 4 }}{{ template "type" .UnderlyingType }}
{{- else if eq .Kind 5 }}list of {{ template "type" .UnderlyingType }}
{{- else if contains "meta/v1" .Package }}{{ .Name }}
{{- else if .Members }}object
{{- else if eq .Kind 0 }}{{ template "type" .UnderlyingType }}
{{- else }}{{ .Name }}{{ end }}
{{- end }}
{{- end }}
