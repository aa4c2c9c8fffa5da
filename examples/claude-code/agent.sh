#!/usr/bin/env bash
# Runs Claude Code on one task. When the task goes on after a limit, on whichever worker and with whichever account, it
# continues the session instead of starting over. docs/agents.md explains it.
set -u
state=${POOLKEEPER_STATE:?run with --state DIR, where the sessions are stored}

# The session belongs to the task, not to an account. The program finds it from the directory in which it began.
export CLAUDE_CONFIG_DIR=$state/claude
mkdir -p "$CLAUDE_CONFIG_DIR" "$state/work" && cd "$state/work" || exit
# With a login instead of a token the account is a directory that `CLAUDE_CONFIG_DIR=DIR claude` filled.
if [ -n "${CLAUDE_LOGIN:-}" ]; then
  login=$CLAUDE_CONFIG_DIR/.credentials.json
  ln -sfn "$CLAUDE_LOGIN/.credentials.json" "$login"
  # A renewed login that took the place of the link belongs to the account.
  trap '[ -L "$login" ] || mv "$login" "$CLAUDE_LOGIN/.credentials.json"' EXIT
fi
# git clone --quiet https://github.com/acme/app . would go here, for the first attempt.

claude=(claude -p --output-format stream-json --verbose --permission-mode acceptEdits)
events=$state/events.jsonl
session=$(grep -o '"session_id":"[^"]*"' "$events" 2>/dev/null | tail -n 1 | cut -d '"' -f 4)
# A session that never reached the disk did nothing, so its task begins again.
if [ -n "$session" ] && [ -n "$(find "$CLAUDE_CONFIG_DIR" -name "$session*")" ]; then
  # The task is on standard input. It is in the session already.
  "${claude[@]}" --resume "$session" "Go on with the task where you stopped." </dev/null | tee -a "$events"
else
  "${claude[@]}" | tee -a "$events"
fi
exit "${PIPESTATUS[0]}"
