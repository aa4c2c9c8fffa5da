{{- define "poolkeeper.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- /* At most 52 characters so that a suffix such as -dispatcher fits into a label. */ -}}
{{- define "poolkeeper.fullname" -}}
{{- $name := include "poolkeeper.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* Labels that select the pods of one component: include with (list . "controller"). They must not change during the life of a release. */ -}}
{{- define "poolkeeper.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "poolkeeper.name" $root | quote }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "poolkeeper.labels" -}}
{{- $root := index . 0 -}}
{{- $own := include "poolkeeper.selector" . | fromYaml }}
{{- $_ := set $own "app.kubernetes.io/version" $root.Chart.AppVersion }}
{{- $_ := set $own "app.kubernetes.io/managed-by" $root.Release.Service }}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") }}
{{- /* The chart's own labels win: values must not change a selector. */}}
{{- toYaml (merge $own (deepCopy $root.Values.commonLabels)) }}
{{- end }}

{{- define "poolkeeper.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "poolkeeper.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "poolkeeper.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- /* Fields that the pods of the controller and of the uninstall hook have in common. */ -}}
{{- define "poolkeeper.podSettings" -}}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Values that are valid one by one, but not together. */ -}}
{{- define "poolkeeper.check" -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.leaderElection.enabled) }}
{{- fail "replicas: more than one replica needs leaderElection.enabled=true" }}
{{- end }}
{{- if and .Values.rbac.aggregate .Values.watchNamespace }}
{{- fail "rbac.aggregate adds rules to ClusterRoles, and with watchNamespace there are none: unset one of the two" }}
{{- end }}
{{- end }}
