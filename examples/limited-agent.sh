#!/bin/sh
# Simulates an agent whose API allows three calls and then none for two seconds. Each worker has limits of its own.
# Portable sh: it also runs in a busybox image.
#
# The count is stored in the worker's own temporary directory, which is removed with the worker.

CALLS_ALLOWED=3
LIMITED_FOR=2 # seconds

state="${TMPDIR:-/tmp}/limited-agent"
now=$(date +%s)

# The state of this worker's API: the number of calls, and until when it refuses more.
calls=0 until=0
[ -f "$state" ] && read -r calls until < "$state"

if [ "$calls" -ge "$CALLS_ALLOWED" ]; then
  if [ "$until" -eq 0 ]; then
    until=$((now + LIMITED_FOR))
    echo "$calls $until" > "$state"
  fi
  if [ "$now" -lt "$until" ]; then
    echo "429 Too Many Requests" >&2
    # If the API names a time, report it. Without this file, exit code 75 means "rest for as long as --cooldown says".
    # printf '{"outcome":"RateLimited","retryAfter":"%ss"}' "$((until - now))" > "$POOLKEEPER_RESULT"
    exit 75
  fi
  calls=0
fi

sleep 0.2 # the work
echo "$((calls + 1)) 0" > "$state"
echo "$POOLKEEPER_TASK_ID: \"$TASK\" done by $POOLKEEPER_WORKER in attempt $POOLKEEPER_ATTEMPT"
