#!/usr/bin/env bash
# The supervisors in examples/supervisors with the programs that they need: kubectl, and Python with Kubernetes' client; and the
# clients of tests/clients, in Python and in Go.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# The version that was tested. Its own dependencies may be newer.
client=kubernetes==37.0.2
# Python 3.13 is the first that checks certificates strictly (ssl.VERIFY_X509_STRICT). Debian 12 has 3.11; pyenv may have a newer one.
python=python3
for newer in python3.13 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13.*/bin/python3.13; do
  if "$newer" -c 'import ssl, ensurepip' 2>/dev/null; then python=$newer; fi
done
number=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if [ "$number" != 3.13 ]; then echo "SKIPPED: Python 3.13 is not on this machine; the clients run with Python $number"; fi
venv=${XDG_CACHE_HOME:-$HOME/.cache}/poolkeeper-ci/python-$number
if ! "$venv/bin/python" -c 'import kubernetes' 2>/dev/null; then
  if ! "$python" -c 'import ensurepip' 2>/dev/null; then apt-get update && apt-get install --yes python3-venv; fi
  rm -rf "$venv"
  "$python" -m venv "$venv"
  "$venv/bin/pip" install --quiet "$client"
fi
"$venv/bin/python" --version
scripts/cluster/cluster build
# With the flags of scripts/cluster/build.sh Go finds the packages of client-go that kubectl was made from.
if ! command -v go >/dev/null; then PATH=$PATH:/usr/local/go/bin; fi
export CGO_ENABLED=0 GOFLAGS="-p=2 -trimpath -buildvcs=false -mod=readonly"
POOLKEEPER_WHOLE_DAY=1 POOLKEEPER_REQUIRE_SUPERVISORS=1 POOLKEEPER_PYTHON=$venv/bin/python POOLKEEPER_GO=1 cargo test --locked --test supervisors --test clients -- --nocapture
