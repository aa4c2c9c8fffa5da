#compdef poolkeeper
# Completion of poolkeeper for zsh: a file _poolkeeper in a directory of $fpath, or source <(poolkeeper completion zsh)
_poolkeeper() {
    local -a candidates
    candidates=("${(@f)$("${words[1]}" __complete -- "${(@)words[2,$CURRENT]}" 2>/dev/null)}")
    if [[ -n "${candidates[1]}" ]]; then
        compadd -- "${candidates[@]}"
    else
        _files
    fi
}
if [ "${funcstack[1]}" = "_poolkeeper" ]; then
    _poolkeeper "$@"
else
    compdef _poolkeeper poolkeeper
fi
