{{- define "clusterpedia.labels" -}}
app.kubernetes.io/name: clusterpedia
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* The labels by which a component's pods are selected: root, component. */}}
{{- define "clusterpedia.selector" -}}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* The full name of a component: root, component. */}}
{{- define "clusterpedia.name" -}}
{{ printf "%s-%s" .root.Release.Name .component | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "clusterpedia.image" -}}
{{ .root.Values.image.repository }}/{{ .component }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* Values that contradict one another end the rendering with one line. */}}
{{- define "clusterpedia.validate" -}}
{{- $v := .Values }}
{{- $type := dig "type" "" $v.storage.config }}
{{- if and $v.bindingApiserver.enabled (or $v.apiserver.enabled $v.clustersynchroManager.enabled) }}
{{- fail "bindingApiserver.enabled: it takes the place of apiserver and clustersynchroManager, set apiserver.enabled and clustersynchroManager.enabled to false" }}
{{- end }}
{{- if and (eq $v.storage.name "memory") (not $v.bindingApiserver.enabled) }}
{{- fail "storage.name: memory is not shared between pods, set bindingApiserver.enabled to true" }}
{{- end }}
{{- if eq $v.storage.name "internal" }}
{{- if and (hasPrefix "sqlite" $type) (not $v.bindingApiserver.enabled) }}
{{- fail "storage.config.type: SQLite is for one pod alone, set bindingApiserver.enabled to true" }}
{{- end }}
{{- if and (eq $v.storage.install "none") (not $type) }}
{{- fail "storage.config.type: without storage.install it must say which database it leads to" }}
{{- end }}
{{- end }}
{{- if include "clusterpedia.installs" . }}
{{- if not (or $v.storage.existingSecret $v.storage.password) }}
{{- fail "storage.password: set it, or storage.existingSecret, for the database" }}
{{- end }}
{{- end }}
{{- if and $v.tls.existingSecret (not $v.tls.caBundle) }}
{{- fail "tls.caBundle: set it to the certificate of the authority that signed tls.existingSecret" }}
{{- end }}
{{- end }}

{{/* Not empty if the chart installs a database. */}}
{{- define "clusterpedia.installs" -}}
{{- if and (eq .Values.storage.name "internal") (ne .Values.storage.install "none") (not (hasPrefix "sqlite" (dig "type" "" .Values.storage.config))) }}yes{{ end }}
{{- end }}

{{- define "clusterpedia.databaseName" -}}
{{ .Release.Name }}-internalstorage-{{ .Values.storage.install }}
{{- end }}

{{- define "clusterpedia.passwordSecret" -}}
{{ .Values.storage.existingSecret | default (printf "%s-internalstorage-password" .Release.Name) }}
{{- end }}

{{/* Not empty if there is a password. */}}
{{- define "clusterpedia.hasPassword" -}}
{{- if or .Values.storage.existingSecret .Values.storage.password }}yes{{ end }}
{{- end }}

{{- define "clusterpedia.storageConfig" -}}
{{- $config := dict }}
{{- if include "clusterpedia.installs" . }}
{{- $config = dict "type" .Values.storage.install "host" (include "clusterpedia.databaseName" .) "user" .Values.storage.database.user "database" .Values.storage.database.name "port" (ternary 5432 3306 (eq .Values.storage.install "postgres")) }}
{{- end }}
{{- toYaml (mergeOverwrite $config (deepCopy .Values.storage.config)) }}
{{- end }}

{{/* The images of plugins, as a list. */}}
{{- define "clusterpedia.pluginImages" -}}
{{- if kindIs "string" .Values.storage.image }}
{{- if .Values.storage.image }}{{ toJson (list .Values.storage.image) }}{{ else }}[]{{ end }}
{{- else }}{{ toJson .Values.storage.image }}
{{- end }}
{{- end }}

{{- define "clusterpedia.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
capabilities: {drop: [ALL]}
{{- end }}

{{/*
The security context of a component. The files of two have a capability, and a kernel
refuses to run a file whose capabilities its container may not have.
*/}}
{{- define "clusterpedia.serverSecurityContext" -}}
{{- $context := include "clusterpedia.securityContext" .root }}
{{- if has .component (list "apiserver" "binding-apiserver") }}
{{- $context = replace "{drop: [ALL]}" "{drop: [ALL], add: [NET_BIND_SERVICE]}" $context }}
{{- end }}
{{- $context }}
{{- end }}

{{/*
A server's Deployment: root, component, values, flags (a dict), ports, probes, storage and
writable directories.
*/}}
{{- define "clusterpedia.deployment" -}}
{{- $root := .root }}
{{- $name := include "clusterpedia.name" . }}
{{- $plugins := fromJsonArray (include "clusterpedia.pluginImages" $root) }}
{{- $flags := merge (dict) .values.extraFlags .flags }}
{{- if .values.featureGates }}
{{- $gates := list }}
{{- range $gate, $on := .values.featureGates }}{{ $gates = append $gates (printf "%s=%t" $gate $on) }}{{ end }}
{{- $flags = merge $flags (dict "feature-gates" (join "," $gates)) }}
{{- end }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "clusterpedia.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  replicas: {{ .replicas }}
  {{- if .recreate }}
  strategy: {type: Recreate}
  {{- end }}
  selector:
    matchLabels:
      {{- include "clusterpedia.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "clusterpedia.labels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
      annotations:
        {{- if .storage }}
        checksum/storage: {{ include "clusterpedia.storageConfig" $root | sha256sum }}
        {{- end }}
        {{- with .values.podAnnotations }}{{ toYaml . | nindent 8 }}{{ end }}
    spec:
      serviceAccountName: {{ $name }}
      securityContext:
        seccompProfile: {type: RuntimeDefault}
        fsGroup: 65532
      {{- with $root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      {{- if and .storage $plugins }}
      initContainers:
        - name: copy-plugins
          image: {{ include "clusterpedia.image" . }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command: [/usr/local/bin/copy-plugins, self, /plugin-tools]
          securityContext:
            {{- include "clusterpedia.securityContext" $root | nindent 12 }}
          volumeMounts:
            - {name: plugin-tools, mountPath: /plugin-tools}
        {{- range $i, $image := $plugins }}
        - name: plugins-{{ $i }}
          image: {{ $image }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command: [/plugin-tools/copy-plugins, /plugins, /storage-plugins]
          securityContext:
            {{- include "clusterpedia.securityContext" $root | nindent 12 }}
          volumeMounts:
            - {name: plugin-tools, mountPath: /plugin-tools, readOnly: true}
            - {name: storage-plugins, mountPath: /storage-plugins}
        {{- end }}
      {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ include "clusterpedia.image" . }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command:
            - /usr/local/bin/{{ .component }}
            {{- if .storage }}
            - --storage-name={{ $root.Values.storage.name }}
            - --storage-config=/etc/clusterpedia/storage/config.yaml
            {{- end }}
            {{- range $flag := keys $flags | sortAlpha }}
            {{- $value := get $flags $flag }}
            {{- if kindIs "float64" $value }}{{ $value = toJson $value }}{{ end }}
            - {{ printf "--%s=%v" $flag $value | quote }}
            {{- end }}
          env:
            - name: CLUSTERPEDIA_NAMESPACE
              valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
            {{- if and .storage $plugins }}
            - {name: STORAGE_PLUGINS, value: "/usr/local/lib/clusterpedia/plugins:/storage-plugins"}
            {{- end }}
            {{- if and .storage (include "clusterpedia.hasPassword" $root) }}
            - name: DB_PASSWORD
              valueFrom: {secretKeyRef: {name: {{ include "clusterpedia.passwordSecret" $root }}, key: {{ $root.Values.storage.passwordKey }}}}
            {{- end }}
            {{- with .values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          {{- with .ports }}
          ports:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with .probes }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
          resources:
            {{- toYaml .values.resources | nindent 12 }}
          securityContext:
            {{- include "clusterpedia.serverSecurityContext" . | nindent 12 }}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            {{- if .storage }}
            - {name: storage-config, mountPath: /etc/clusterpedia/storage, readOnly: true}
            {{- if $plugins }}
            - {name: storage-plugins, mountPath: /storage-plugins, readOnly: true}
            {{- end }}
            {{- end }}
            {{- if .tls }}
            - {name: tls, mountPath: /etc/clusterpedia/tls, readOnly: true}
            {{- end }}
            {{- if .data }}
            - {name: data, mountPath: /var/lib/clusterpedia}
            {{- end }}
      volumes:
        - {name: tmp, emptyDir: {}}
        {{- if .storage }}
        - name: storage-config
          secret: {secretName: {{ $root.Release.Name }}-storage}
        {{- if $plugins }}
        - {name: plugin-tools, emptyDir: {}}
        - {name: storage-plugins, emptyDir: {}}
        {{- end }}
        {{- end }}
        {{- if .tls }}
        - name: tls
          secret: {secretName: {{ include "clusterpedia.tlsSecret" $root }}}
        {{- end }}
        {{- if .data }}
        - name: data
          persistentVolumeClaim: {claimName: {{ $name }}}
        {{- end }}
      {{- with .values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}

{{- define "clusterpedia.disruption" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "clusterpedia.name" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "clusterpedia.labels" .root | nindent 4 }}
spec:
  {{- $budget := .values.podDisruptionBudget }}
  {{- if $budget.minAvailable }}{{ $budget = omit $budget "maxUnavailable" }}{{ end }}
  {{- toYaml $budget | nindent 2 }}
  selector:
    matchLabels:
      {{- include "clusterpedia.selector" . | nindent 6 }}
{{- end }}

{{/* The component that serves the aggregated API. */}}
{{- define "clusterpedia.server" -}}
{{ ternary "binding-apiserver" "apiserver" .Values.bindingApiserver.enabled }}
{{- end }}

{{- define "clusterpedia.tlsSecret" -}}
{{ .Values.tls.existingSecret | default (printf "%s-apiserver-tls" .Release.Name) }}
{{- end }}

{{- define "clusterpedia.httpsProbes" -}}
readinessProbe:
  httpGet: {path: /readyz, port: https, scheme: HTTPS}
livenessProbe:
  httpGet: {path: /livez, port: https, scheme: HTTPS}
  initialDelaySeconds: 10
  failureThreshold: 6
startupProbe:
  httpGet: {path: /livez, port: https, scheme: HTTPS}
  failureThreshold: 60
  periodSeconds: 5
{{- end }}
