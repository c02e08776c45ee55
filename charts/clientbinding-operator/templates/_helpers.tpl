{{/* Labels of all objects, besides the two that config/ gives them. */}}
{{- define "clientbinding-operator.labels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Labels of the objects that are written here. */}}
{{- define "clientbinding-operator.allLabels" -}}
app.kubernetes.io/name: clientbinding-operator
app.kubernetes.io/part-of: clientbinding-operator
{{ include "clientbinding-operator.labels" . }}
{{- end }}

{{/* The name of a shard's Deployment, and by which its pods are known. The first shard has no name. */}}
{{- define "clientbinding-operator.name" -}}
clientbinding-operator{{ with . }}-{{ . }}{{ end }}
{{- end }}

{{- define "clientbinding-operator.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* validationActions of the policies' bindings. */}}
{{- define "clientbinding-operator.validationActions" -}}
{{- eq .Values.policies.enforcement "Warn" | ternary (list "Warn" "Audit") (list .Values.policies.enforcement) | toJson }}
{{- end }}

{{/* The namespaces of connections whose Secrets the operator is to read, each once, as a JSON array. */}}
{{- define "clientbinding-operator.credentialsNamespaces" -}}
{{- $namespaces := list }}
{{- range . }}
{{- if .credentialsRoleBinding }}
{{- $namespaces = append $namespaces .namespace }}
{{- end }}
{{- end }}
{{- $namespaces | uniq | toJson }}
{{- end }}
