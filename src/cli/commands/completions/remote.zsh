
# Torrents of the daemon, where driver remote takes one; all else as above.
_driver_remote() {
    local -a lines
    if [[ $words[2] == remote ]] && (( CURRENT > 3 )); then
        lines=("${(@f)$($words[1] remote --complete -- \
            "${(@Q)words[3,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
        if [[ -n $lines[1] ]]; then
            local -a names shown
            names=("${(@)lines%%$'\t'*}")
            shown=("${(@)lines/$'\t'/  }")
            compadd -l -d shown -a names
            return
        fi
    fi
    _driver "$@"
}
if [ "$funcstack[1]" = "_driver" ]; then
    _driver_remote "$@"
else
    compdef _driver_remote driver
fi
