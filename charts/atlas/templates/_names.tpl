{{/* Names, labels, ports, and who speaks to whom: the one place each is written. */}}

{{- define "atlas.fullname" -}}
{{- $default := ternary .Release.Name (printf "%s-atlas" .Release.Name) (contains "atlas" .Release.Name) -}}
{{- .Values.fullnameOverride | default $default | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* Name of a component's objects: (list $ "planner"). */}}
{{- define "atlas.name" -}}
{{- printf "%s-%s" (include "atlas.fullname" (first .)) (last .) -}}
{{- end }}

{{/* What a component's pods are chosen by. */}}
{{- define "atlas.selector" -}}
app.kubernetes.io/name: atlas
app.kubernetes.io/component: {{ last . }}
{{- /* Runs that v3_runner starts are no part of the release, but have its network. */}}
{{- if ne (last .) "benchmark" }}
app.kubernetes.io/instance: {{ (first .).Release.Name }}
{{- end }}
{{- end }}

{{- define "atlas.labels" -}}
{{- $ := first . -}}
{{ include "atlas.selector" . }}
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version }}
{{- end }}

{{/* Of what has pods, but not of the pods: by it an installer sees when what it asked for is there. */}}
{{- define "atlas.installation" -}}
{{- with .Values.installation }}
  annotations: {atlas/installation: {{ . | quote }}}
{{- end }}
{{- end }}

{{/* A component's own values: those of every llama-server are under llamaServer. */}}
{{- define "atlas.values" -}}
{{- index (first .).Values (regexReplaceAll "-[0-9]+$" (last .) "" | camelcase | untitle) | toJson -}}
{{- end }}

{{/* The model servers, one for each GPU, as JSON. Each is a component of its own, so that each has an address. */}}
{{- define "atlas.llamaServers" -}}
{{- $all := list "llama-server" -}}
{{- range $number := untilStep 1 (int .Values.llamaServer.replicas) 1 }}{{ $all = append $all (printf "llama-server-%d" $number) }}{{ end -}}
{{- $all | toJson -}}
{{- end }}

{{- define "atlas.ports" -}}
gateway: 8400
planner: 8401
lens: 8402
sandbox: 8403
repair: 8404
executor: 8500
redis: 6379
{{- range include "atlas.llamaServers" . | fromJsonArray }}
{{ . }}: 8080
{{- end }}
{{- end }}

{{/* Who speaks to whom, and to nobody else. Environment variables, NetworkPolicies and DNS follow from it. */}}
{{- define "atlas.edges" -}}
{{- $models := include "atlas.llamaServers" . | fromJsonArray -}}
{{- $peers := concat (list "redis") $models | toJson -}}
gateway: {{ $peers }}
planner: {{ $peers }}
lens: {{ $peers }}
repair: {{ $peers }}
sandbox: [redis, executor]
executor: []
redis: []
test: [gateway]
benchmark: [gateway]
{{- range $models }}
{{ . }}: []
{{- end }}
{{- end }}

{{/* Components that have pods, as JSON. */}}
{{- define "atlas.components" -}}
{{- $all := keys (include "atlas.edges" . | fromYaml) | sortAlpha -}}
{{- if .Values.redis.external.enabled }}{{ $all = without $all "redis" }}{{ end -}}
{{- $all | toJson -}}
{{- end }}

{{- define "atlas.url" -}}
{{- $port := get (include "atlas.ports" (first .) | fromYaml) (last .) | int -}}
{{- printf "http://%s:%d" (include "atlas.name" .) $port -}}
{{- end }}

{{/* The gateway's Service has a port of its own. */}}
{{- define "atlas.gatewayUrl" -}}
{{- printf "http://%s:%d" (include "atlas.name" (list . "gateway")) (int .Values.gateway.service.port) -}}
{{- end }}

{{- define "atlas.kubeVersion" -}}
{{- .Values.kubeVersion | default .Capabilities.KubeVersion.Version -}}
{{- end }}

{{- define "atlas.redisSecret" -}}
{{- .Values.redis.existingSecret | default (include "atlas.name" (list . "redis")) -}}
{{- end }}

{{- define "atlas.apiKeySecret" -}}
{{- .Values.apiKey.existingSecret | default (include "atlas.name" (list . "api-key")) -}}
{{- end }}

{{/* A field of a Secret as it is in the cluster, else what is given: (list $ SECRET FIELD NEW). */}}
{{- define "atlas.kept" -}}
{{- $ := index . 0 -}}
{{- $there := lookup "v1" "Secret" $.Release.Namespace (index . 1) | default dict -}}
{{- $old := get ($there.data | default dict) (index . 2) -}}
{{- ternary ($old | b64dec) (index . 3) (ne $old "") -}}
{{- end }}

{{- define "atlas.redisConf" -}}
{{ .Files.Get "files/redis.conf" | trim }}
maxmemory {{ .Values.redis.maxMemory }}
port {{ get (include "atlas.ports" . | fromYaml) "redis" }}
{{- end }}
