{{/* Labels by which objects select pods. Takes (list . COMPONENT). */}}
{{- define "cart.selector" -}}
app.kubernetes.io/name: cart-service
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Labels of every object. */}}
{{- define "cart.labels" -}}
app.kubernetes.io/part-of: cart-service
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "cart.tag" -}}
{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* Takes (list . TAG); a digest in the values precedes the chart's own tag. */}}
{{- define "cart.image" -}}
{{- $values := (index . 0).Values.image -}}
{{- if and $values.digest (eq (index . 1) (include "cart.tag" (index . 0))) -}}
{{ $values.repository }}@{{ $values.digest }}
{{- else -}}
{{ $values.repository }}:{{ index . 1 }}
{{- end }}
{{- end }}

{{/* The pods of every process are equal in this. Takes (list . COMPONENT). */}}
{{- define "cart.pod" -}}
serviceAccountName: {{ (index . 0).Release.Name }}-service
automountServiceAccountToken: false
# Otherwise a Service named redis would set REDIS_PORT, which is one of our settings.
enableServiceLinks: false
{{- with (index . 0).Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
volumes:
  - name: tmp
    emptyDir: {medium: Memory, sizeLimit: 16Mi}
{{- end }}

{{- define "cart.spread" -}}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "cart.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}

{{/* Settings and secrets of a process. Takes (list . COMPONENT). */}}
{{- define "cart.envFrom" -}}
{{- $ := index . 0 -}}
{{- $process := index $.Values (index . 1) -}}
envFrom:
  - configMapRef: {name: {{ $.Release.Name }}-config}
  - secretRef: {name: {{ $process.secret | default (printf "%s-%s-secrets" $.Release.Name (index . 1)) }}}
  {{- range $process.extraSecrets }}
  - secretRef: {name: {{ . }}}
  {{- end }}
{{- end }}

{{/* Takes (list . COMPONENT). */}}
{{- define "cart.container" -}}
imagePullPolicy: {{ (index . 0).Values.image.pullPolicy }}
resources:
  {{- toYaml (index (index . 0).Values (index . 1)).resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{/* It beats once the process is connected: a release with a wrong setting stops here. */}}
{{- define "cart.heartbeat" -}}
startupProbe:
  exec: {command: [python, -m, heartbeat, /tmp/heartbeat]}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 150
livenessProbe:
  exec: {command: [python, -m, heartbeat, /tmp/heartbeat]}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- end }}

{{/* Pod annotations: where the metrics are, and a checksum that rolls pods when a setting changes. */}}
{{- define "cart.annotations" -}}
prometheus.io/scrape: "true"
prometheus.io/port: {{ index . 1 | quote }}
prometheus.io/path: /metrics
checksum/config: {{ (index . 0).Values.config | toYaml | sha256sum }}
{{- end }}

{{/* The pod template of a worker. Takes (list . TAG BUILD_ID); the build id may be empty. */}}
{{- define "cart.worker" -}}
{{- $ := index . 0 -}}
{{- $buildId := index . 2 -}}
metadata:
  labels:
    app.kubernetes.io/part-of: cart-service
    {{- include "cart.selector" (list $ "worker") | nindent 4 }}
    {{- with $buildId }}
    cart-service/build-id: {{ . | quote }}
    {{- end }}
  annotations:
    {{- include "cart.annotations" (list $ "9464") | nindent 4 }}
spec:
  {{- include "cart.pod" (list $ "worker") | nindent 2 }}
  {{- include "cart.spread" (list $ "worker") | nindent 2 }}
  # It drains for 10 s; unfinished work continues in another worker.
  terminationGracePeriodSeconds: 30
  containers:
    - name: worker
      image: {{ include "cart.image" (list $ (index . 1)) }}
      args: [python, -m, worker]
      ports:
        - {name: metrics, containerPort: 9464}
      {{- include "cart.envFrom" (list $ "worker") | nindent 6 }}
      env:
        # It serves no API, and so needs no secret of tokens.
        - {name: HOST, value: 127.0.0.1}
        {{- with $buildId }}
        - {name: TEMPORAL_WORKER_BUILD_ID, value: {{ . | quote }}}
        {{- end }}
      {{- include "cart.container" (list $ "worker") | nindent 6 }}
      {{- include "cart.heartbeat" $ | nindent 6 }}
{{- end }}

{{- define "cart.scaling" -}}
minReplicas: {{ .minReplicas }}
maxReplicas: {{ .maxReplicas }}
metrics:
  - type: Resource
    resource: {name: cpu, target: {type: Utilization, averageUtilization: {{ .cpuPercent }}}}
behavior:
  scaleDown: {stabilizationWindowSeconds: 300}
{{- end }}

{{/* Takes (list . NAME VALUES). */}}
{{- define "cart.autoscaler" -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ index . 1 }}
  labels:
    {{- include "cart.labels" (index . 0) | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ index . 1 }}}
  {{- include "cart.scaling" (index . 2) | nindent 2 }}
{{- end }}

{{/* Takes (list . COMPONENT). */}}
{{- define "cart.disruption" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ (index . 0).Release.Name }}-{{ index . 1 }}
  labels:
    {{- include "cart.labels" (index . 0) | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "cart.selector" . | nindent 6 }}
{{- end }}
