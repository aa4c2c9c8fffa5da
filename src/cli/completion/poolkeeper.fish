# Completion of poolkeeper for fish: poolkeeper completion fish | source
function __poolkeeper_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    $words[1] __complete -- $words[2..-1] "$current" 2>/dev/null
end
complete -c poolkeeper -f -a '(__poolkeeper_complete)'
complete -c poolkeeper -n 'test -z "$(__poolkeeper_complete)"' -F
