#!/usr/bin/env bash
# README.md (In Kubernetes) and docs/kubernetes.md say what is true: their commands run as they stand there, in order. Not run
# is a block of the page after a line `<!-- not run: why -->`; the pool's image is the one that the node has.
#
# Needs what 50-kubernetes.sh needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

page=$PWD/docs/kubernetes.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# What the pages wait for may take longer on a machine that does other work too.
mkdir "$work/bin"
cat >"$work/bin/kubectl" <<K
#!/bin/sh
case \$1 in wait | drain) set -- "\$@" --timeout=10m ;; esac
exec $(command -v kubectl) "\$@"
K
chmod 755 "$work/bin/kubectl"
PATH=$work/bin:$PATH
cp -r charts examples "$work"
sed -i 's|image: busybox:.*|image: docker.io/library/busybox:local|' "$work/examples/pool.yaml"

# One file for each block, named by its line.
awk -v out="$work/block" '
  /^```sh$/ && before !~ /^<!-- not run: / { file = sprintf("%s-%03d", out, NR); next }
  /^```/ { file = "" }
  file { print > file }
  { before = $0 }
' "$page"

# typed PAGE HEADING FROM TO: the first block under a heading, with one thing replaced.
typed() {
  echo "--- $1: $2"
  awk -v heading="## $2" '
    /^## / { here = $0 == heading }
    /^```/ { if (on) exit; on = here && $0 == "```sh"; next }
    on
  ' "$root/$1" >"$work/typed"
  [ -s "$work/typed" ] || fail "$1: no commands under $2"
  if [ $# -gt 2 ]; then
    grep -qF -- "$3" "$work/typed" || fail "$1: $2 has no $3"
    sed -i "s|$3|$4|" "$work/typed"
  fi
  bash -euxo pipefail "$work/typed" </dev/null || fail "the commands of $1, $2"
}
fail() {
  echo "FAILED: $*" >&2
  kubectl get cpool,pkw,pkd,pods -A >&2 || true
  exit 1
}
crds=(containerpools.poolkeeper.dev workers.poolkeeper.dev dispatches.poolkeeper.dev)

scripts/cluster/cluster load target/image/poolkeeper.tar
root=$PWD
cd "$work"

typed README.md "In Kubernetes" ./my-agent true
# What it promises: the worker rests, and the task goes on elsewhere.
kubectl wait pkd/task-42 --for=jsonpath='{.status.attempt}'=2 --timeout=1m
kubectl annotate cpool agents result.poolkeeper.dev/task-42='2 Succeeded'
kubectl wait pkd/task-42 --for=jsonpath='{.status.phase}'=Succeeded --timeout=1m
helm uninstall poolkeeper --namespace poolkeeper --wait
kubectl delete crd "${crds[@]}" --timeout=60s

count=0
for block in "$work"/block-*; do
  line=$((10#${block##*-}))
  echo "--- docs/kubernetes.md:$line"
  if ! bash -euxo pipefail "$block" </dev/null; then
    fail "the commands after docs/kubernetes.md:$line"
  fi
  if grep -q restartedAt "$block"; then
    # All workers are new ones, with what the Secret has now.
    pods=$(kubectl get pods -l poolkeeper.dev/pool=agents --field-selector=status.phase=Running -o name)
    [ -n "$pods" ] || fail "no worker is left"
    for pod in $pods; do
      [ "$(kubectl exec "$pod" -- sh -c 'echo "$API_TOKEN"')" = NEWER ] || fail "$pod has an old token"
    done
  fi
  count=$((count + 1))
done
[ "$count" -ge 12 ] || fail "only $count blocks were found"

# An image that is nowhere, and what a controller that ran before has left, some of it in a namespace that is being deleted.
helm install poolkeeper charts/poolkeeper --namespace poolkeeper --create-namespace --set image.tag=none
kubectl wait --for=condition=Established crd "${crds[@]}" --timeout=60s
kubectl create namespace left
kubectl create -f - <<'Y'
apiVersion: poolkeeper.dev/v1alpha1
kind: ContainerPool
metadata: {name: left, namespace: left, finalizers: [poolkeeper.dev/pool]}
spec: {image: a}
---
apiVersion: poolkeeper.dev/v1alpha1
kind: Worker
metadata: {name: left-0, namespace: left, finalizers: [poolkeeper.dev/instance]}
spec: {pool: left, poolGeneration: 1, runtime: Pod, templateHash: h}
---
apiVersion: v1
kind: Pod
metadata: {name: left-0-1, labels: {app.kubernetes.io/managed-by: poolkeeper}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: worker, image: "docker.io/library/busybox:local", command: [sleep, infinity]}]
Y
kubectl delete namespace left --wait=false
typed docs/kubernetes.md "If the controller never ran"
[ -z "$(kubectl get cpool,pkw,pods -o name)" ] || fail "something is left"
kubectl wait --for=delete namespace/left --timeout=60s
[ -z "$(kubectl get clusterrole,clusterrolebinding -o name | grep poolkeeper)" ] || fail "a role is left"
kubectl delete crd "${crds[@]}" --timeout=60s

kubectl delete --ignore-not-found secret/tokens rolebinding/supervisor rolebinding/supervisor-exec rolebinding/supervisor-pods \
  role/exec role/pods serviceaccount/supervisor
kubectl delete namespace poolkeeper --timeout=120s
echo "$count blocks passed, 0 failed"
