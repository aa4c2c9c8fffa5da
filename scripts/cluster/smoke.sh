#!/usr/bin/env bash
# Checks what tests need of the node that `cluster up node` started:   scripts/cluster/cluster smoke
# It works in a namespace of its own, beside whatever else is there.
. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/lib.sh"
export PATH=$BIN:$PATH

[ "$(cat "$STATE/kind" 2>/dev/null)" = node ] || die "no node in $STATE: cluster up node"
busybox=docker.io/library/busybox:local
namespace=smoke-$$
scratch=$(mktemp -d "$STATE/smoke.XXXXXX")
host=$(mktemp -d "$STATE/hostpath/smoke.XXXXXX")
finish() {
  rm -rf "$scratch" "$host"
  kubectl delete namespace "$namespace" --wait=false --ignore-not-found >/dev/null 2>&1 || true
}
trap finish EXIT

passed=0
failed=0
# check SUBJECT COMMAND...
check() {
  local subject=$1 began=$EPOCHREALTIME
  shift
  if "$@" >"$scratch/said" 2>&1; then
    passed=$((passed + 1))
    echo "ok    $subject ($(elapsed "$began"))"
  else
    failed=$((failed + 1))
    echo "FAIL  $subject"
    tail -n 5 "$scratch/said"
  fi
}
k() { kubectl -n "$namespace" "$@"; }
# pod NAME [FLAGS...] -- COMMAND...
pod() {
  local name=$1
  shift
  k run "$name" --image="$busybox" --image-pull-policy=Never --restart=Never "$@"
}
phase() { k wait "pod/$1" --for=jsonpath='{.status.phase}'="$2" --timeout=30s; }

kubectl create namespace "$namespace" >/dev/null
wait_for 20 "namespace $namespace" k get serviceaccount default
# The loop notices TERM; `sleep infinity` as PID 1 would not.
pod main -- sh -c 'echo hello-log; trap "exit 0" TERM; while :; do sleep 1; done' >/dev/null

check "a pod becomes Ready" k wait pod/main --for=condition=Ready --timeout=30s

logs() { k logs main | grep hello-log >/dev/null; }
check "logs" logs

run_inside() { k exec main -- cat /etc/hostname | grep -x main >/dev/null; }
check "exec" run_inside

copy() {
  echo copied >"$scratch/file"
  k cp "$scratch/file" main:/tmp/file
  k exec main -- cat /tmp/file | grep -x copied >/dev/null
}
check "cp into a pod" copy

# Debian's wget crashes with -T.
api_from_pod() {
  # shellcheck disable=SC2016 # It is the pod's shell that reads the token.
  local ask='token=$(cat /var/run/secrets/kubernetes.io/serviceaccount/token)
    wget -qO- --no-check-certificate --header "Authorization: Bearer $token"'
  k exec main -- sh -c "$ask $1/version" | grep gitVersion >/dev/null
}
check "a pod reaches the API server at the node's address" api_from_pod "https://$NODE_IP:$API_PORT"
check "a pod reaches the API server as a Service" api_from_pod "https://$SERVICE_IP"

k create rolebinding view --clusterrole=view --serviceaccount="$namespace:default" >/dev/null
kubectl_inside() {
  k run inside --image=docker.io/library/kubectl:local --image-pull-policy=Never --restart=Never -- get pods
  phase inside Succeeded
  k logs inside | grep Running >/dev/null
}
check "kubectl in a pod, with its ServiceAccount and RBAC" kubectl_inside

denied() { ! kubectl --as="system:serviceaccount:$namespace:default" get nodes; }
check "RBAC denies" denied

k create configmap web --from-literal=index.html=hello-configmap >/dev/null
k apply -f - >/dev/null <<EOF
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: $busybox
        imagePullPolicy: IfNotPresent
        command: [httpd, -f, -p, "8080", -h, /www]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /index.html, port: 8080}, periodSeconds: 1}
        resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {cpu: 100m, memory: 32Mi}}
        volumeMounts: [{name: www, mountPath: /www}]
        securityContext:
          runAsNonRoot: true
          runAsUser: 65534
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {drop: [ALL]}
          seccompProfile: {type: RuntimeDefault}
      volumes: [{name: www, configMap: {name: web}}]
EOF
k expose deployment web --port=80 --target-port=8080 >/dev/null
check "a Deployment: non-root, read-only, seccomp, limits, probe, ConfigMap" k rollout status deployment/web --timeout=60s

address=$(k get service web -o jsonpath='{.spec.clusterIP}')
service() {
  for _ in $(seq 25); do
    # kube-proxy may be a little later than the rollout.
    if k exec main -- wget -qO- "http://$1/index.html" | grep hello-configmap >/dev/null; then return 0; fi
    sleep 0.2
  done
  return 1
}
check "a pod reaches a Service" service "$address"

killed() {
  # shellcheck disable=SC2016 # It is the pod's shell that grows.
  pod greedy --overrides='{"spec": {"containers": [{"name": "greedy", "image": "'$busybox'",
    "command": ["sh", "-c", "x=a; while :; do x=$x$x; done"], "resources": {"limits": {"memory": "16Mi"}}}]}}'
  k wait pod/greedy --for=jsonpath='{.status.containerStatuses[0].state.terminated.reason}'=OOMKilled --timeout=30s
}
check "OOMKilled at the memory limit" killed

job() {
  k create job once --image="$busybox" -- true
  k wait job/once --for=condition=Complete --timeout=30s
}
check "a Job completes" job

host_network() {
  pod host --overrides='{"spec": {"hostNetwork": true}}' -- \
    wget -qO- --no-check-certificate "https://$NODE_IP:$API_PORT/version"
  phase host Succeeded
}
check "a pod in the host's network" host_network

host_path() {
  pod writer --overrides='{"spec": {"containers": [{"name": "writer", "image": "'$busybox'",
    "command": ["sh", "-c", "echo from-pod >/host/file"], "volumeMounts": [{"name": "host", "mountPath": "/host"}]}],
    "volumes": [{"name": "host", "hostPath": {"path": "'"$host"'"}}]}}'
  phase writer Succeeded
  grep -qx from-pod "$host/file"
}
check "a directory of the host" host_path

check "a pod can be deleted" k delete pod main --timeout=30s
check "a namespace can be deleted" kubectl delete namespace "$namespace" --timeout=60s

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
