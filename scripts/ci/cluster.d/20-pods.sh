#!/usr/bin/env bash
# The Pod runtime: the contract of all runtimes, and what Pods add to it, with a real kubelet.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

POOLKEEPER_TEST_API=${KUBECONFIG:?names no cluster} POOLKEEPER_TEST_NODE=1 \
  cargo test --locked --test runtime_contract --test pod_runtime
