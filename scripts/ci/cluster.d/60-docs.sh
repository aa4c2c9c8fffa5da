#!/usr/bin/env bash
# docs/kubernetes.md says what is true: its commands run as they stand there, in order. Not run is a block after a line
# `<!-- not run: why -->`; the pool's image is the one that the node has.
#
# Needs what 50-kubernetes.sh needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

page=$PWD/docs/kubernetes.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r charts examples "$work"
sed -i 's|image: busybox:.*|image: docker.io/library/busybox:local|' "$work/examples/pool.yaml"

# One file for each block, named by its line.
awk -v out="$work/block" '
  /^```sh$/ && before !~ /^<!-- not run: / { file = sprintf("%s-%03d", out, NR); next }
  /^```/ { file = "" }
  file { print > file }
  { before = $0 }
' "$page"

scripts/cluster/cluster load target/image/poolkeeper.tar
cd "$work"
count=0
for block in "$work"/block-*; do
  line=$((10#${block##*-}))
  echo "--- docs/kubernetes.md:$line"
  if ! bash -euxo pipefail "$block" </dev/null; then
    echo "FAILED: the commands after docs/kubernetes.md:$line" >&2
    kubectl get cpool,pkw,pkd,pods -A >&2 || true
    exit 1
  fi
  count=$((count + 1))
done
[ "$count" -ge 8 ] || { echo "FAILED: only $count blocks were found" >&2; exit 1; }

kubectl delete --ignore-not-found rolebinding/supervisor rolebinding/supervisor-exec rolebinding/supervisor-pods \
  role/exec role/pods serviceaccount/supervisor
kubectl delete namespace poolkeeper --timeout=120s
echo "$count blocks passed, 0 failed"
