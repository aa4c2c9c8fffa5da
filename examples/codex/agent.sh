#!/usr/bin/env bash
# Runs Codex on one task. When the task goes on after a limit, on whichever worker and with whichever account, it continues
# the session instead of starting over. docs/agents.md explains it.
set -u
state=${POOLKEEPER_STATE:?run with --state DIR, where the sessions are stored}

# The session belongs to the task, not to an account.
export CODEX_HOME=$state/codex
mkdir -p "$CODEX_HOME" "$state/work" && cd "$state/work" || exit
# With a ChatGPT plan the account is a login: a directory that `CODEX_HOME=DIR codex login` filled.
if [ -n "${CODEX_LOGIN:-}" ]; then
  login=$CODEX_HOME/auth.json
  ln -sfn "$CODEX_LOGIN/auth.json" "$login"
  # A renewed login that took the place of the link belongs to the account.
  trap '[ -L "$login" ] || mv "$login" "$CODEX_LOGIN/auth.json"' EXIT
fi

# `resume` has no --sandbox, and would be read-only without this.
codex=(codex exec --json --skip-git-repo-check -c 'sandbox_mode="workspace-write"')
events=$state/events.jsonl
session=$(grep -o '"thread_id":"[^"]*"' "$events" 2>/dev/null | tail -n 1 | cut -d '"' -f 4)
# A session that never reached the disk did nothing, so its task begins again.
if [ -n "$session" ] && [ -n "$(find "$CODEX_HOME" -name "*$session*")" ]; then
  # The task is on standard input. It is in the session already.
  "${codex[@]}" resume "$session" "Go on with the task where you stopped." </dev/null | tee -a "$events"
else
  "${codex[@]}" - | tee -a "$events"
fi
exit "${PIPESTATUS[0]}"
