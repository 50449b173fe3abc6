{{/* What every pod is: hardened, without a token, with nothing of other services in its environment. */}}

{{/* (list $ "planner"): of the pod's spec, all but containers and volumes. */}}
{{- define "atlas.pod" -}}
{{- $ := first . -}}
{{- $values := include "atlas.values" . | fromJson -}}
serviceAccountName: {{ include "atlas.name" . }}
automountServiceAccountToken: false
# A Service named atlas-gateway would put ATLAS_GATEWAY_... there, which atlas takes for a setting.
enableServiceLinks: false
securityContext:
  {{- include "atlas.podSecurity" "" | nindent 2 }}
{{- with $.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $.Values.hostAliases }}
hostAliases: {{ toJson . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- end }}

{{/* The argument: a seccomp profile on the node; empty: the container runtime's own. */}}
{{- define "atlas.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
{{- if . }}
  type: Localhost
  localhostProfile: {{ . }}
{{- else }}
  type: RuntimeDefault
{{- end }}
{{- end }}

{{- define "atlas.containerSecurity" -}}
securityContext:
  runAsNonRoot: true
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities:
    drop: [ALL]
{{- end }}

{{/* (list $ IMAGE), or (list $ IMAGE "-cuda"): what is behind the version in the tag. */}}
{{- define "atlas.image" -}}
{{- $ := index . 0 -}}
{{- $image := index . 1 -}}
{{- $suffix := "" -}}
{{- if gt (len .) 2 }}{{ $suffix = index . 2 }}{{ end -}}
{{- $tag := $image.tag | default (printf "%s%s" $.Chart.AppVersion $suffix) -}}
image: {{ ternary (printf "%s@%s" $image.repository $image.digest) (printf "%s:%s" $image.repository $tag) (ne $image.digest "") }}
imagePullPolicy: {{ $image.pullPolicy }}
{{- end }}

{{- define "atlas.llamaImage" -}}
{{- include "atlas.image" (list . .Values.llamaServer.image (ternary "-cuda" "-cpu" .Values.llamaServer.gpu.enabled)) -}}
{{- end }}

{{/* HTTP probes of port "http": (dict "start" PATH "ready" PATH "live" PATH "startupSeconds" N). */}}
{{- define "atlas.probes" -}}
startupProbe:
  httpGet: {path: {{ .start }}, port: http}
  periodSeconds: 2
  timeoutSeconds: 6
  failureThreshold: {{ div (int .startupSeconds) 2 }}
readinessProbe:
  httpGet: {path: {{ .ready }}, port: http}
  periodSeconds: 10
  timeoutSeconds: 6
  failureThreshold: 2
livenessProbe:
  httpGet: {path: {{ .live }}, port: http}
  periodSeconds: 15
  timeoutSeconds: 6
  failureThreshold: 4
{{- end }}

{{/* ATLAS_REDIS_URL from its Secret. */}}
{{- define "atlas.redisEnv" -}}
- name: ATLAS_REDIS_URL
  valueFrom:
    secretKeyRef: {name: {{ include "atlas.redisSecret" . }}, key: url}
{{- end }}

{{- define "atlas.apiKeyEnv" -}}
- name: ATLAS_API_KEY
  valueFrom:
    secretKeyRef: {name: {{ include "atlas.apiKeySecret" . }}, key: api-key}
{{- end }}

{{/* settings as variables: contextTokens is ATLAS_CONTEXT_TOKENS. */}}
{{- define "atlas.settingsEnv" -}}
{{- range $key, $value := .Values.settings }}
- name: ATLAS_{{ $key | snakecase | upper }}
  value: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
{{- end }}
{{- end }}

{{- define "atlas.pvcStorage" -}}
accessModes: [ReadWriteOnce]
{{- with .storageClassName }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests:
    storage: {{ .size }}
{{- end }}

{{/* NetworkPolicy peers, of which an empty list would mean everyone: (list PEERS MESSAGE). */}}
{{- define "atlas.peers" -}}
{{- if not (first .) }}{{ fail (last .) }}{{ end -}}
{{- first . | toJson -}}
{{- end }}
