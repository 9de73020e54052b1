
# Torrents of the daemon, where driver remote takes one; all else as above.
_driver_remote() {
    local cur word=() line quote=
    if [[ ${COMP_WORDS[1]} == remote && $COMP_CWORD -gt 2 ]]; then
        cur=${COMP_WORDS[COMP_CWORD]}
        case $cur in
            # Names come from strangers: within quotes none may hold what the shell reads there.
            [\'\"]*) quote=1 cur=${cur:1} ;;
            *) cur=${cur//\\/} ;;
        esac
        while IFS= read -r line; do
            line=${line%%$'\t'*}
            # Words end at these, quoted or not.
            [[ $line == *[:=]* ]] && continue
            [[ $quote && $line == *[\'\"\\\$\`\!]* ]] && continue
            [[ $quote ]] || printf -v line %q "$line"
            word+=("$line")
        done < <("$1" remote --complete -- "${COMP_WORDS[@]:2:COMP_CWORD-2}" "$cur" 2>/dev/null)
        if ((${#word[@]})); then
            COMPREPLY=("${word[@]}")
            return 0
        fi
    fi
    _driver "$@"
}
complete -F _driver_remote -o bashdefault -o default driver
