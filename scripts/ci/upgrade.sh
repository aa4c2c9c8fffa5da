#!/usr/bin/env bash
# A local server of an older version is replaced by this one, and back, while tasks run (tests/kills/upgrade.rs).
# The same on a node is scripts/ci/cluster.d/70-upgrade.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

older=$(scripts/ci/older.sh) || [ $? = 3 ]
if [ -z "$older" ]; then
  echo "SKIPPED: the older version cannot be built here"
  exit 0
fi
POOLKEEPER_REQUIRE_OLDER=1 POOLKEEPER_OLDER=$older cargo test --locked --test kills upgrade -- --nocapture
