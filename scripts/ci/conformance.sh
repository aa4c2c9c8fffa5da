#!/usr/bin/env bash
# The conformance suite and kubectl's habits against the embedded API server and a real one, and every rule by kubectl against
# the real one: that of KUBECONFIG if it is set, else one that is started for this run and removed again. With controllers:
# they collect garbage and delete namespaces.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [ -z "${KUBECONFIG:-}" ]; then
  export CLUSTER_STATE=${CLUSTER_STATE:-$(mktemp -d /tmp/pk-conformance.XXXXXX)} API_PORT=${API_PORT:-7443}
  trap 'scripts/cluster/cluster down; rm -rf "$CLUSTER_STATE"' EXIT
  started=$(scripts/cluster/cluster up kwok)
  eval "$started"
fi
POOLKEEPER_TEST_API=$KUBECONFIG cargo test --locked --test conformance --test kubectl
# docs/kubectl.md, with the kubectl that is there now.
cargo test --locked --test quickstart the_page_of_kubectl
