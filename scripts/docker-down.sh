#!/usr/bin/env bash
# Stops the Docker Engine that docker-up.sh [DIR] started, and no other:   scripts/docker-down.sh [DIR]
# WIPE=1 removes its images and state too.
. "$(dirname "$0")/docker-lib.sh"

if pid=$(ours); then
  kill "$pid"
  if ! gone "$pid"; then
    say "dockerd (pid $pid) does not end: killing it"
    kill -9 "$pid"
    gone "$pid"
  fi
  say "stopped dockerd (pid $pid)"
fi

# After a kill -9 its containerd and the containers' shims outlive it: all whose arguments name our directory.
for proc in /proc/[0-9]*; do
  pid=${proc#/proc/}
  case "$(basename "$(readlink "$proc/exe" 2>/dev/null || true)")" in containerd*) ;; *) continue ;; esac
  case "$(tr '\0' ' ' <"$proc/cmdline" 2>/dev/null || true)" in
    *"$DIR/exec/"*) kill -9 "$pid" 2>/dev/null || true ;;
  esac
done
rm -f "$PIDFILE" "$DIR/engine.pid"
if [ "$SOCKET" != "$DEFAULT_SOCKET" ]; then rm -f "$SOCKET"; fi

if [ "${WIPE:-0}" = 1 ] && [ -d "$DIR" ]; then
  # The innermost first.
  awk -v d="$DIR/" 'index($2, d) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mount; do
    umount -l "$mount" || true
  done
  rm -rf "$DIR"
  if [ "$SOCKET" = "$DEFAULT_SOCKET" ] && ! answers; then
    # What an engine with a bridge leaves in the machine's network.
    ip link del docker0 2>/dev/null || true
    for table in filter nat; do
      iptables-save -t $table 2>/dev/null | sed -n '/^-A .*\(DOCKER\|docker0\|172\.17\.0\.0\)/s/^-A/-D/p' |
        while read -r rule; do
          # shellcheck disable=SC2086
          iptables -t $table $rule 2>/dev/null || true
        done
      iptables-save -t $table 2>/dev/null | sed -n 's/^:\(DOCKER[^ ]*\) .*/\1/p' |
        while read -r chain; do iptables -t $table -X "$chain" 2>/dev/null || true; done
    done
  fi
  say "removed $DIR"
fi
