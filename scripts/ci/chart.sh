#!/usr/bin/env bash
# The Helm chart: helm's own checks, what it renders (tests/chart), and, for several sets of values, that Kubernetes
# knows every kind and field of it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

scripts/cluster/cluster build helm kubeconform schemas
home=${CLUSTER_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/poolkeeper-cluster}
PATH=$home/bin:$PATH
chart=charts/poolkeeper

helm lint --strict "$chart"

# What is skipped elsewhere fails here.
POOLKEEPER_REQUIRE_HELM=1 cargo test --locked --test chart

# conforms VALUES...: arguments of `helm template`. A ServiceMonitor's schema is not part of Kubernetes.
conforms() {
  echo "helm template $*"
  helm template pk "$chart" --namespace sys --kube-version 1.33.0 "$@" |
    kubeconform -strict -summary -skip ServiceMonitor -schema-location "$home/schemas/{{.ResourceKind}}{{.KindSuffix}}.json"
}
conforms
conforms --set watchNamespace=team
conforms --set replicas=2,rbac.aggregate=true,metrics.serviceMonitor.enabled=true,networkPolicy.enabled=true
conforms --set crds.keep=false,uninstall.hook=false,rbac.create=false,serviceAccount.create=false,metrics.service=true
conforms --values - <<'EOF'
# One of everything that is passed on.
fullnameOverride: keeper
commonLabels: {team: a}
image: {tag: "1", pullPolicy: Always}
imagePullSecrets: [{name: registry}]
replicas: 3
extraArgs: [--x]
extraEnv:
- {name: A, value: b}
- {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
serviceAccount: {annotations: {a: b}}
podAnnotations: {a: b}
podLabels: {a: b}
priorityClassName: high
tolerations: [{key: k, operator: Exists, effect: NoSchedule}]
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}
topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]
podDisruptionBudget: {maxUnavailable: 50%}
logLevel: debug
networkPolicy: {enabled: true, apiServerCidrs: [10.0.0.1/32], metricsFrom: [{namespaceSelector: {matchLabels: {name: monitoring}}}]}
EOF
echo "the chart renders what Kubernetes knows"
