# Completion of poolkeeper for bash: source <(poolkeeper completion bash)
_poolkeeper() {
    local IFS=$'\n'
    COMPREPLY=($("$1" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _poolkeeper poolkeeper
