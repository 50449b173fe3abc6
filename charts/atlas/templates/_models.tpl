{{- define "atlas.modelsClaim" -}}
{{- $models := .Values.llamaServer.models -}}
{{- if eq $models.source "claim" -}}
{{- include "atlas.name" (list . "models") -}}
{{- else -}}
{{- required "llamaServer.models.source is existingClaim: name it in llamaServer.models.existingClaim" $models.existingClaim -}}
{{- end -}}
{{- end }}

{{/* Fetches the model of the catalogue, resuming, and refuses one whose sha256 is not the catalogue's. */}}
{{- define "atlas.downloadModel" -}}
{{- if .Values.settings.modelPath -}}
{{- fail "llamaServer.models.download fetches settings.model: clear settings.modelPath, or turn the download off" -}}
{{- end -}}
{{- $draft := .Values.settings.draftModel -}}
{{- if hasSuffix ".gguf" $draft -}}
{{- fail "llamaServer.models.download fetches models of the catalogue: settings.draftModel names a file" -}}
{{- end -}}
{{ include "atlas.pullModel" (list . "download-model" .Values.settings.model) }}
{{- if and $draft (ne $draft "none") }}
{{ include "atlas.pullModel" (list . "download-draft" $draft) }}
{{- end }}
{{- end }}

{{/* (list $ CONTAINER MODEL); with a model comes what the catalogue has draft for it. */}}
{{- define "atlas.pullModel" -}}
{{- $ := index . 0 -}}
- name: {{ index . 1 }}
  {{- include "atlas.image" (list $ $.Values.image) | nindent 2 }}
  command: [python, -m, atlas.cli, models, pull]
  env:
    - {name: ATLAS_MODEL, value: {{ index . 2 | quote }}}
    - {name: ATLAS_DATA_DIR, value: /data}
    - {name: HOME, value: /tmp}
    # Its chunk cache would hold the model a second time, in /tmp.
    - {name: HF_HUB_DISABLE_XET, value: "1"}
  resources:
    requests: {cpu: 100m, memory: 256Mi}
    limits: {memory: 2Gi}
  {{- include "atlas.containerSecurity" $ | nindent 2 }}
  volumeMounts:
    - {name: models, mountPath: /data/models}
    - {name: tmp, mountPath: /tmp}
{{- end }}
