{{- define "tcphealth-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "tcphealth-exporter.fullname" -}}
{{- $name := include "tcphealth-exporter.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "tcphealth-exporter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "tcphealth-exporter.serviceAccountName" -}}
{{- $own := include "tcphealth-exporter.fullname" . }}
{{- default (ternary $own "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- define "tcphealth-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tcphealth-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tcphealth-exporter.labels" -}}
{{ include "tcphealth-exporter.selectorLabels" . }}
app.kubernetes.io/component: metrics
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- if .Values.releaseLabel }}
release: {{ .Release.Name }}
{{- end }}
{{- end }}

{{- define "tcphealth-exporter.image" -}}
{{- $registry := default .Values.image.registry .Values.global.imageRegistry }}
{{- with $registry }}{{ . }}/{{ end }}{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end }}
{{- end }}

{{- /* From the values and from global: names, or maps with a name. */ -}}
{{- define "tcphealth-exporter.imagePullSecrets" -}}
{{- range concat .Values.imagePullSecrets .Values.global.imagePullSecrets }}
- name: {{ if kindIs "map" . }}{{ .name }}{{ else }}{{ . }}{{ end }}
{{- end }}
{{- end }}

{{- define "tcphealth-exporter.probe" -}}
{{- $get := dict "path" .path "port" .port "scheme" (upper .probe.httpGet.scheme) }}
{{- with .probe.httpGet.httpHeaders }}{{ $_ := set $get "httpHeaders" . }}{{ end }}
{{- merge (dict "httpGet" $get) (omit .probe "httpGet") | toYaml }}
{{- end }}

{{- /* The settings of a scrape, for both kinds of monitors. */ -}}
{{- define "tcphealth-exporter.endpoint" -}}
scheme: {{ .scheme }}
{{- with .interval }}
interval: {{ . }}
{{- end }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .proxyUrl }}
proxyUrl: {{ . }}
{{- end }}
{{- with .basicAuth }}
basicAuth: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tlsConfig }}
tlsConfig: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .authorization }}
authorization: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .relabelings }}
relabelings: {{- toYaml . | nindent 0 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings: {{- toYaml . | nindent 0 }}
{{- end }}
{{- end }}

{{- /* The other settings of both kinds of monitors. */ -}}
{{- define "tcphealth-exporter.monitor" -}}
{{- range $name := list "sampleLimit" "targetLimit" "labelLimit" "labelNameLengthLimit" "labelValueLengthLimit" }}
{{- with index $ $name }}
{{ $name }}: {{ . | int64 }}
{{- end }}
{{- end }}
{{- if .attachMetadata.node }}
attachMetadata:
  node: true
{{- end }}
{{- with .jobLabel }}
jobLabel: {{ . }}
{{- end }}
{{- with .podTargetLabels }}
podTargetLabels: {{- toYaml . | nindent 0 }}
{{- end }}
{{- with .targetLabels }}
targetLabels: {{- toYaml . | nindent 0 }}
{{- end }}
{{- end }}
