#!/bin/sh
# Plays a task: some meet a rate limit at first, some fail, and all print what a page must not run.
printf '%s\n' "<script>window.ran = 1</script><img src=x onerror='window.ran = 1'>" "token=$TOKEN"
printf '\033]52;c;eA==\007\033[2Jend of %s\n' "$POOLKEEPER_TASK_ID"
sleep 0.1
case $TASK/$POOLKEEPER_ATTEMPT in
*limit*/1)
  echo '{"outcome":"RateLimited","retryAfter":"2s","message":"limit <b>met</b>"}' >"$POOLKEEPER_RESULT"
  exit 75
  ;;
*wrong*)
  echo "it went wrong" >&2
  exit 3
  ;;
esac
