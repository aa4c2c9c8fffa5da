#!/usr/bin/env bash
# What the agents themselves print when a service refuses them, and what the presets make of it. The service is a program of ours
# on 127.0.0.1, and there is no other network: nothing is asked of anybody, and no account is needed.
#
#   scripts/agents-measured.sh [DIR]     as root; installs the agents' newest versions from npm into DIR (700 MB)
#
# Also runs the wrappers of examples/ twice each, the second time after a limit: the session must go on.
# POOLKEEPER: the binary; default target/debug/poolkeeper. What was printed is in DIR/printed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD dir=$(realpath -m "${1:-${TMPDIR:-/tmp}/poolkeeper-agents}")
bin=$(realpath "${POOLKEEPER:-target/debug/poolkeeper}")

if [ "${INSIDE:-}" = "" ]; then
  mkdir -p "$dir"
  npm install --prefix "$dir" --no-fund --no-audit --loglevel error @anthropic-ai/claude-code @openai/codex @google/gemini-cli >&2
  rm -rf "$dir/printed"
  INSIDE=yes exec unshare --net "$0" "$dir"
fi

ip link set lo up
port=8099
python3 scripts/agents-service.py $port &
service=$!
trap 'kill $service' EXIT
until (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null; do sleep 0.1; done
export PATH=$dir/node_modules/.bin:$PATH TZ=UTC IS_SANDBOX=1 GEMINI_CLI_TRUST_WORKSPACE=true
failed=0

# agent NAME HAPPENS: what it needs to ask our service, and in $home what it writes.
agent() {
  local url=http://127.0.0.1:$port/$2
  export HOME=$home
  case $1 in
  claude-code) export CLAUDE_CODE_OAUTH_TOKEN=x CLAUDE_CODE_MAX_RETRIES=1 ANTHROPIC_BASE_URL=$url ;;
  codex)
    mkdir -p "$home/.codex"
    export CODEX_API_KEY=x
    printf '%s\n' 'model = "gpt-5"' 'model_provider = "ours"' '[model_providers.ours]' 'name = "ours"' "base_url = \"$url\"" \
      'env_key = "CODEX_API_KEY"' 'wire_api = "responses"' 'request_max_retries = 1' 'stream_max_retries = 1' >"$home/.codex/config.toml"
    ;;
  gemini)
    mkdir -p "$home/.gemini"
    export GEMINI_API_KEY=x GOOGLE_GEMINI_BASE_URL=$url
    echo '{"security": {"auth": {"selectedType": "gemini-api-key"}}}' >"$home/.gemini/settings.json"
    ;;
  esac
}

# asks NAME HAPPENS OUTCOME: one run of the program, and the verdict of its preset.
asks() {
  local out=$dir/printed/$1-$2 code=0 home said
  home=$out/home
  mkdir -p "$home" "$out/work"
  (
    cd "$out/work" && agent "$1" "$2"
    case $1 in
    claude-code) exec timeout 60 claude -p --output-format stream-json --verbose --permission-mode acceptEdits ;;
    codex) exec timeout 60 codex exec --json --skip-git-repo-check -c 'sandbox_mode="workspace-write"' - ;;
    gemini) exec timeout 60 gemini -p "Go on" --output-format stream-json ;;
    esac
  ) <<<"Say something about limits" >"$out/stdout" 2>"$out/stderr" || code=$?
  said=$("$bin" preset test "$1" "$out/stdout" --exit-code "$code" -o json)
  printf '%-12s %-8s exit %-4s %s\n' "$1" "$2" "$code" "$(jq -r '[.outcome, .rule, .until, .line, (.spent | tostring)] | map(. // "-" | gsub("\n"; " ")) | join("  ")' <<<"$said" | cut -c1-150)"
  [ "$(jq -r .outcome <<<"$said")" = "$3" ] || { echo "  ^ is not $3"; failed=1; }
}

# continues NAME: the wrapper of the example, which meets a limit and is called again.
continues() {
  local at=$dir/printed/wrapper-$1 home count happens key=session_id
  home=$at/home
  mkdir -p "$home" "$at/state"
  if [ "$1" = codex ]; then key=thread_id; fi
  for happens in limit ok; do
    (
      agent "$1" "$happens"
      export POOLKEEPER_STATE=$at/state
      # The wrapper has a CODEX_HOME of its own.
      if [ "$1" = codex ]; then mkdir -p "$at/state/codex" && cp "$home/.codex/config.toml" "$at/state/codex/"; fi
      exec timeout 60 "$root/examples/$1/agent.sh"
    ) <<<"Write chapter 1" >"$at/$happens" 2>"$at/$happens.stderr" || true
  done
  count=$(cat "$at/limit" "$at/ok" | grep -o "\"$key\":\"[^\"]*\"" | sort -u | wc -l)
  echo "$1: the wrapper had $count session(s) in two attempts"
  [ "$count" = 1 ] || failed=1
}

for program in claude codex gemini; do echo "$program $("$program" --version 2>/dev/null | sed -n 1p)"; done
for name in claude-code codex; do
  asks $name ok Succeeded
  asks $name limit RateLimited
  asks $name week RateLimited
  asks $name busy Overloaded
  asks $name broken Overloaded
  asks $name expired Unauthorized
  asks $name empty Unauthorized
  continues $name
done
# What waits for minutes by itself is left out.
asks gemini ok Succeeded
asks gemini limit RateLimited
asks gemini week RateLimited
asks gemini expired Unauthorized
exit $failed
