#!/usr/bin/env bash
# Plays `claude -p` and `codex exec`: prints what they print, keeps sessions on disk as they do, and checks who asks what.
#
#   stand-in.sh claude|codex DIR SLOTS [the arguments of the program]
#
# DIR/accounts/TOKEN/plan says what happens at each call with this token: a line each, from the first to the last. After the
# last line every call succeeds, once all other accounts have come to their last line too. The end of a limit is in
# DIR/accounts/TOKEN/until (seconds since 1970); while there is DIR/accounts/TOKEN/dead, only a person can mend the account. What
# must not happen is written to DIR/wrong, and each call to DIR/log: the account, what happened, the task.
set -u
program=$1 dir=$2 slots=$3
shift 3

wrong() { echo "$*" >>"$dir/wrong"; }

# The arguments that the program has. Others are refused, as it refuses them.
session='' prompt='' is_resumed=''
refuse() { wrong "$program refuses the argument $1" && echo "error: unexpected argument '$1' found" >&2 && exit 2; }
while [ $# -gt 0 ]; do
  case $program,$1 in
    claude,-p | claude,--verbose | codex,--json | codex,--skip-git-repo-check) ;;
    claude,--output-format) [ "$2" = stream-json ] || refuse "$2"; shift ;;
    claude,--permission-mode) shift ;;
    codex,-c) [ "$2" = 'sandbox_mode="workspace-write"' ] || refuse "$2"; shift ;;
    codex,exec) ;;
    claude,--resume | codex,resume) session=$2 is_resumed=1; shift ;;
    codex,-) ;;
    *,-*) refuse "$1" ;;
    *) prompt=$1 ;;
  esac
  shift
done
# Both programs add what they find on standard input to the prompt.
input=$(cat)
[ -z "$is_resumed" ] || [ -z "$input" ] || wrong "the task is given to session $session again"
[ -n "$prompt" ] || prompt=$input

json() { printf '%s' "$1" | sed 's/[\\"]/\\&/g'; }

# The session, where the program keeps it.
case $program in
  claude)
    token=${CLAUDE_CODE_OAUTH_TOKEN:-}
    home=${CLAUDE_CONFIG_DIR:-$HOME/.claude}/projects/${PWD//[^A-Za-z0-9]/-}
    ;;
  codex)
    token=${CODEX_API_KEY:-}
    home=${CODEX_HOME:-$HOME/.codex}/sessions
    ;;
esac
if [ -n "$is_resumed" ]; then
  file=$(find "$home" -name "*$session.jsonl")
  if [ -z "$file" ]; then
    wrong "there is no session $session"
    echo "No conversation found with session ID: $session"
    exit 1
  fi
  task=$(cat "$file.task")
else
  session=$(cat /proc/sys/kernel/random/uuid)
  task=$prompt
  # One file for each task that ever began. The second one to begin it finds the file.
  mkdir -p "$dir/began"
  (set -o noclobber && echo "$session" >"$dir/began/$(printf '%s' "$task" | cksum | tr -d ' ')") 2>/dev/null ||
    wrong "the session of the task starts over: $task"
  case $program in
    claude) file=$home/$session.jsonl ;;
    codex) file=$home/$(date -u +%Y/%m/%d/rollout-%Y-%m-%dT%H-%M-%S)-$session.jsonl ;;
  esac
  mkdir -p "$(dirname "$file")"
  echo "$task" >"$file.task"
fi
echo "{\"type\":\"user\",\"message\":\"$(json "$prompt")\"}" >>"$file"

case $program in
  claude) echo "{\"type\":\"system\",\"subtype\":\"init\",\"cwd\":\"$PWD\",\"session_id\":\"$session\"}" ;;
  codex) echo "{\"type\":\"thread.started\",\"thread_id\":\"$session\"}" && echo '{"type":"turn.started"}' ;;
esac

# The ends of a turn, in the form of each program.
succeeds() { # TEXT
  case $program in
    claude)
      # The heartbeat of every run, and then the result.
      echo "{\"type\":\"rate_limit_event\",\"rate_limit_info\":{\"status\":\"allowed\",\"resetsAt\":$((now + 9000)),\"rateLimitType\":\"five_hour\"},\"session_id\":\"$session\"}"
      echo "{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"result\":\"$(json "$1")\",\"session_id\":\"$session\",\"total_cost_usd\":0.25,\"usage\":{\"input_tokens\":100,\"output_tokens\":20}}"
      ;;
    codex)
      echo "{\"type\":\"item.completed\",\"item\":{\"id\":\"item_0\",\"type\":\"agent_message\",\"text\":\"$(json "$1")\"}}"
      echo '{"type":"turn.completed","usage":{"input_tokens":100,"cached_input_tokens":50,"output_tokens":20}}'
      ;;
  esac
  exit 0
}
fails() { # TEXT [EXIT CODE [STATUS]]
  case $program in
    claude)
      [ "${3:-}" != 429 ] || echo "{\"type\":\"assistant\",\"error\":\"rate_limit\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"$(json "$1")\"}]},\"session_id\":\"$session\"}"
      # The subtype is "success" in the reports too.
      echo "{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":true,${3:+\"api_error_status\":$3,}\"result\":\"$(json "$1")\",\"session_id\":\"$session\",\"total_cost_usd\":0.05}"
      ;;
    codex)
      echo "{\"type\":\"error\",\"message\":\"$(json "$1")\"}"
      echo "{\"type\":\"turn.failed\",\"error\":{\"message\":\"$(json "$1")\"}}"
      ;;
  esac
  exit "${2:-1}"
}

# A login instead of a token: the account, and a number that each call makes larger, since a refresh token works once.
login=''
case $program in
  claude) file_of_login=${CLAUDE_CONFIG_DIR:-$HOME/.claude}/.credentials.json ;;
  codex) file_of_login=${CODEX_HOME:-$HOME/.codex}/auth.json ;;
esac
[ -n "$token" ] || ! [ -e "$file_of_login" ] || { login=$(cat "$file_of_login") && token=${login%%:*}; }
[ -n "$token" ] || { wrong "no account" && fails 'Not logged in · Please run /login'; }
account=$dir/accounts/$token
[ -d "$account" ] || { wrong "no such account: $token" && fails 'Invalid API key · Please run /login'; }

# The account takes as many calls at once as the pool says in maxConcurrent.
for ((slot = 1; slot <= slots; slot++)); do
  exec 9>"$account/slot-$slot"
  flock -n 9 && break
done
[ "$slot" -le "$slots" ] || wrong "more than $slots calls at once with $token"
# One call at a time decides what happens to it.
exec 8>"$account/lock"
flock 8
if [ -n "$login" ]; then
  [ "$login" = "$(cat "$account/login")" ] || wrong "the login $login was used up: $(cat "$account/login") is the last one"
  # As programs do that write safely: a new file takes the place of the old one.
  echo "$token:$((${login##*:} + 1))" >"$account/login"
  cp "$account/login" "$file_of_login.new" && mv "$file_of_login.new" "$file_of_login"
fi
now=$(date +%s)
until=$(cat "$account/until" 2>/dev/null || echo 0)
if [ "$now" -lt "$until" ] || [ -e "$account/dead" ]; then
  # The call that met the limit has its slot until the pool knows of it. In each other slot one more call may begin before that: it
  # ends with the limit too, and has its slot until the pool knows. A further one is asked before its time.
  early=$(($(cat "$account/early") + 1))
  echo "$early" >"$account/early"
  [ "$early" -lt "$slots" ] || wrong "$token is asked before its time ($until, now $now): $task"
  happens=refused
  [ ! -e "$account/dead" ] || happens=dead
else
  happens=$(head -n 1 "$account/plan")
  sed -i 1d "$account/plan"
fi
echo "$token ${happens:-done} $task" >>"$dir/log"

is_left() { # True while something that is planned has not happened.
  local other
  for other in "$dir"/accounts/*; do [ ! -s "$other/plan" ] || return 0; done
  return 1
}
works() {
  case $program in
    claude) echo "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"I read on.\"}]},\"session_id\":\"$session\"}" ;;
    codex) echo '{"type":"item.updated","item":{"id":"item_0","type":"reasoning","text":"I read on."}}' ;;
  esac
}

limit() { until=$1 && echo 0 >"$account/early" && echo "$until" >"$account/until"; } # The moment from which the account may be asked again.
dies() { echo 0 >"$account/early" && echo "$happens" >"$account/dead"; }
others() { exec 8>&-; } # Other calls with the account may decide.
clock() { date -u -d "@$1" "+%-I:%M%P"; }

# `exact` in the presets marks the sentences that are as they were reported or measured; times, names and JSON around them are ours.
case $happens in
  empty | expired) dies ;;
  dead) happens=$(cat "$account/dead") ;;
esac
case $program,$happens in
  claude,refused)
    echo "{\"type\":\"rate_limit_event\",\"rate_limit_info\":{\"status\":\"rejected\",\"resetsAt\":$until,\"rateLimitType\":\"five_hour\",\"isUsingOverage\":false},\"session_id\":\"$session\"}"
    fails "You've hit your session limit · resets $(clock "$until") (UTC)" 1 429
    ;;
  codex,refused)
    fails "You’ve hit your usage limit. Upgrade to Pro (https://chatgpt.com/explore/pro) or try again in $((until - now)) seconds."
    ;;
  # The end of the limit to the second, as only the events have it. The exit code is 0, as in claude-code#79500.
  claude,epoch)
    limit $((now + 4))
    echo "{\"type\":\"rate_limit_event\",\"rate_limit_info\":{\"status\":\"rejected\",\"resetsAt\":$until,\"rateLimitType\":\"five_hour\"},\"session_id\":\"$session\"}"
    fails "You've hit your session limit · resets $(clock $((until + 60))) (UTC)" 0 429
    ;;
  # A minute, as the sentence has it. It is too early: the account is limited for two minutes more.
  claude,clock)
    minute=$((now / 60 * 60 + 60))
    limit $((minute + 120))
    fails "You've hit your weekly limit · resets $(clock "$minute") (UTC)" 1 429
    ;;
  # It sleeps on its limit by itself.
  claude,sleeps)
    limit $((now + 60))
    echo 'API Error (429 {"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your limit"}}) · Retrying in 60 seconds… (attempt 1/10)'
    others && exec sleep 100000
    ;;
  claude,overloaded) fails 'API Error: 529 Overloaded. This is a server-side issue, usually temporary — try again in a moment.' 1 529 ;;
  claude,busy) fails 'API Error: Server is temporarily limiting requests (not your usage limit) · Rate limited' ;;
  claude,empty) fails 'Credit balance is too low' 1 400 ;;
  claude,expired) fails 'Failed to authenticate. API Error: 401 OAuth token has expired. Please obtain a new token or refresh your existing token.' 1 401 ;;

  codex,relative)
    limit $((now + 4))
    echo '{"type":"error","message":"Reconnecting... 1/1 (exceeded retry limit, last status: 429 Too Many Requests)"}'
    fails 'rate limit exceeded: Rate limit reached for gpt-x in organization org-x on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try again in 4.5s.'
    ;;
  codex,words)
    limit $((now + 4))
    fails "You've hit your usage limit. Upgrade to Pro or try again in 4 seconds."
    ;;
  codex,azure)
    limit $((now + 2))
    fails 'Rate limit is exceeded. Try again in 3 seconds.'
    ;;
  codex,clock)
    minute=$((now / 60 * 60 + 60))
    limit $((minute + 60))
    fails "You’ve hit your usage limit. Upgrade to Pro (https://chatgpt.com/explore/pro), visit https://chatgpt.com/settings/usage to purchase more credits or try again at $(date -u -d "@$minute" '+%-I:%M %p')."
    ;;
  codex,overloaded) fails 'Selected model is at capacity. Please try a different model.' ;;
  codex,busy) fails "We’re currently experiencing high demand, which may cause temporary errors." ;;
  codex,empty) fails 'Quota exceeded. Check your plan and billing details.' ;;
  codex,expired) fails 'unexpected status 401 Unauthorized: Incorrect API key provided: sk-x., url: https://api.openai.com/v1/responses' ;;

  # It says nothing more, and does not end.
  *,hangs) others && exec sleep 100000 ;;
  # The task is about limits.
  *,words-in-success) succeeds "ERROR: You've hit your usage limit. Try again at 3:51 PM. API Error: Rate limit reached is handled now." ;;
  *,done) succeeds "Done: $task" ;;
  *,)
    # Otherwise a fast account could finish the batch before another one did what was planned for it.
    others
    while is_left; do works && sleep 0.5; done
    succeeds "Done: $task"
    ;;
  *) wrong "the plan of $token has $happens" && exit 1 ;;
esac
