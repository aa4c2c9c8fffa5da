#!/usr/bin/env bash
# Writes go.mod and go.sum for another version of Kubernetes, with the etcd that it is tested with:
#   scripts/cluster/go/update.sh v1.33.13
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

version=${1:?which version, as v1.33.13}
# Kubernetes' own modules are replaced by directories beside it; the proxy has them under version 0.
staging=v0.${version#v1.}
module=$(go mod download -json "k8s.io/kubernetes@$version" | sed -n 's/.*"GoMod": "\(.*\)",*/\1/p')
etcd=$(sed -n '0,\#^\s*go.etcd.io/etcd/client/v3 \(v[0-9.]*\).*#s##\1#p' "$module")
{
  echo "module local/k8sbuild"
  echo
  grep '^go ' "$module"
  echo
  grep '^godebug ' "$module" || true
  echo
  echo "tool ("
  for name in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
    echo "	k8s.io/kubernetes/cmd/$name"
  done
  echo ")"
  echo
  echo "require ("
  echo "	k8s.io/kubernetes $version"
  echo "	go.etcd.io/etcd/server/v3 $etcd"
  echo ")"
  echo
  echo "replace ("
  sed -n "s#^\s*\(k8s.io/[a-z-]*\) => ./staging/.*#	\1 => \1 $staging#p" "$module"
  echo ")"
} >go.mod
rm -f go.sum
go mod tidy
