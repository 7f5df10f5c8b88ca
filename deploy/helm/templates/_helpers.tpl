{{- define "labels" -}}
app.kubernetes.io/name: stream-router
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "image" -}}
{{ required "image.repository: name the image" .Values.image.repository }}@{{ required "image.digest: name the image by its digest" .Values.image.digest }}
{{- end -}}

{{- define "secret" -}}
{{ required "secretName: name a Secret with STREAM_ROUTER_WEBHOOK_SECRETS, or one for each program in secretNames" (default .root.Values.secretName (index (default dict .root.Values.secretNames) .component)) }}
{{- end -}}

{{- define "pod" -}}
enableServiceLinks: false
automountServiceAccountToken: false
serviceAccountName: {{ .root.Release.Name }}-{{ .component }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - {name: {{ . }}}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- if ne (toString .root.Values.user) "none" }}
  {{- $user := default 10001 .root.Values.user | int64 }}
  runAsUser: {{ $user }}
  runAsGroup: {{ $user }}
  fsGroup: {{ $user }}
  {{- end }}
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels: {{- include "labels" . | nindent 14 }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "labels" . | nindent 8 }}
{{- end -}}

{{- define "container" -}}
image: {{ include "image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
envFrom:
  - configMapRef: {name: {{ .root.Release.Name }}-settings}
  - secretRef: {name: {{ include "secret" . }}}
livenessProbe:
  exec: {command: [stream-router, health, {{ .component }}]}
  initialDelaySeconds: 60
  periodSeconds: 30
  timeoutSeconds: 10
volumeMounts:
  - {name: state, mountPath: /var/lib/stream-router}
{{- end -}}
