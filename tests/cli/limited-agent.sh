#!/bin/sh
# Plays agents that meet a limit in their first attempt at a task, each in its way, and succeed in the second one.
# Usage: limited-agent.sh DIR. The kind of limit is the task itself.
first="$1/$POOLKEEPER_TASK_ID"
if [ -e "$first" ]; then
    # The words of a limit in a run that succeeds.
    echo "I handle these sentences now:"
    echo
    echo "You've hit your limit · resets 3pm (UTC)"
    echo "Claude AI usage limit reached|1762952400"
    echo "API Error: Rate limit reached"
    exit 0
fi
: >"$first"
case $TASK in
epoch) echo "Claude AI usage limit reached|$(($(date +%s) + 3600))" && exit 1 ;;
clock) echo "You've hit your session limit · resets $(TZ=UTC date -d '+2 hours' +%-I:%M%P) (UTC)" && exit 0 ;;
relative) echo "ERROR: You've hit your usage limit. Try again in 3 hours 5 minutes." >&2 && exit 1 ;;
overloaded) echo "API Error: Repeated 529 Overloaded errors" && exit 1 ;;
money) echo "Credit balance is too low" && exit 1 ;;
login) echo "Invalid API key · Please run /login" && exit 1 ;;
own) echo "the shop is closed, come back in 4h" && exit 9 ;;
unknown) printf '\033[31mno rule knows \033[1mthis\033[0m\n' >&2 && exit 1 ;;
asleep) echo "Too Many Requests [retrying in 2h5m attempt #4]" && exec sleep 1000 ;;
esac
