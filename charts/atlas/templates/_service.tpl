{{/* The Deployment of one of the five Python services: (list $ "planner"). */}}
{{- define "atlas.service" -}}
{{- $ := first . -}}
{{- $name := last . -}}
{{- $values := include "atlas.values" . | fromJson -}}
{{- $port := get (include "atlas.ports" $ | fromYaml) $name | int -}}
{{- $weights := "" -}}
{{- if has $name (list "gateway" "lens") -}}{{- $weights = include "atlas.lensWeights" $ -}}{{- end -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "atlas.name" . }}
  labels: {{- include "atlas.labels" . | nindent 4 }}
  {{- include "atlas.installation" $ }}
spec:
  replicas: {{ $values.replicas }}
  selector:
    matchLabels: {{- include "atlas.selector" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "atlas.labels" . | nindent 8 }}
      {{- if eq $name "gateway" }}
      annotations:
        checksum/files: {{ include (print $.Template.BasePath "/files.yaml") $ | sha256sum }}
      {{- end }}
    spec:
      {{- include "atlas.pod" . | nindent 6 }}
      {{- if eq $name "gateway" }}
      initContainers:
        {{- include "atlas.admitKey" $ | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ $name }}
          {{- include "atlas.image" (list $ $.Values.image) | nindent 10 }}
          command: [python, -m, atlas.cli, serve, {{ $name }}]
          # Where the kubelet can ask how it is; a gateway there asks for keys whoever comes.
          args: [--host=0.0.0.0]
          env:
            {{- include "atlas.serviceEnv" . | nindent 12 }}
            {{- if $weights }}
            - {name: ATLAS_DATA_DIR, value: /data}
            {{- end }}
          ports:
            - {name: http, protocol: TCP, containerPort: {{ $port }}}
          {{- include "atlas.probes" (dict "start" "/healthz" "ready" "/readyz" "live" "/healthz" "startupSeconds" 120) | nindent 10 }}
          resources: {{ toJson $values.resources }}
          {{- include "atlas.containerSecurity" $ | nindent 10 }}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            {{- if $weights }}
            - {name: weights, mountPath: /data/lens, readOnly: true}
            {{- end }}
      volumes:
        {{- if $weights }}
        - name: weights
          {{- $weights | nindent 10 }}
        {{- end }}
        {{- if eq $name "gateway" }}
        - name: files
          configMap: {name: {{ include "atlas.name" (list $ "files") }}}
        {{- end }}
        - name: tmp
          emptyDir: {sizeLimit: 128Mi}
{{- end }}

{{/* Where Lens weights of one's own are: what the lens scores by, and the gateway pins in tasks. */}}
{{- define "atlas.lensWeights" -}}
{{- with .Values.lens.weights -}}
{{- if and .hostPath .existingClaim -}}
{{- fail "lens.weights: hostPath or existingClaim, not both" -}}
{{- else if .hostPath -}}
hostPath: {path: {{ .hostPath }}, type: DirectoryOrCreate}
{{- else if .existingClaim -}}
persistentVolumeClaim: {claimName: {{ .existingClaim }}, readOnly: true}
{{- end -}}
{{- end -}}
{{- end }}

{{/* What a service must know: the settings, and where those are whom it speaks to. */}}
{{- define "atlas.serviceEnv" -}}
{{- $ := first . -}}
{{- $name := last . -}}
{{- $peers := get (include "atlas.edges" $ | fromYaml) $name -}}
{{- include "atlas.settingsEnv" $ }}
- name: ATLAS_LOG_LEVEL
  value: {{ $.Values.logLevel }}
{{- if has "redis" $peers }}
{{ include "atlas.redisEnv" $ }}
{{- end }}
{{- if has "llama-server" $peers }}
- name: ATLAS_LLAMA_URL
  {{- $urls := list }}
  {{- range include "atlas.llamaServers" $ | fromJsonArray }}{{ $urls = append $urls (include "atlas.url" (list $ .)) }}{{ end }}
  value: {{ join "," $urls }}
{{- end }}
{{- if has "executor" $peers }}
- name: ATLAS_EXECUTOR_URL
  value: {{ include "atlas.url" (list $ "executor") }}
# As many commands in hand as all executors together can run.
- name: ATLAS_SANDBOX_JOBS
  value: {{ divf (mul $.Values.executor.jobs $.Values.executor.replicas) $.Values.sandbox.replicas | ceil | int | quote }}
{{- end }}
{{- end }}

{{/* Puts the installation's API key among those that the gateway knows, every time a gateway starts. */}}
{{- define "atlas.admitKey" -}}
- name: admit-key
  {{- include "atlas.image" (list . .Values.image) | nindent 2 }}
  command: [python, /etc/atlas/admit_key.py]
  args: [{{ printf "helm.%s" .Release.Name | quote }}]
  env:
    {{- include "atlas.redisEnv" . | nindent 4 }}
    {{- include "atlas.apiKeyEnv" . | nindent 4 }}
  resources: {{ toJson .Values.gateway.resources }}
  {{- include "atlas.containerSecurity" . | nindent 2 }}
  volumeMounts:
    - {name: files, mountPath: /etc/atlas, readOnly: true}
    - {name: tmp, mountPath: /tmp}
{{- end }}
