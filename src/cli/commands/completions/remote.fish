
# Torrents of the daemon, where driver remote takes one; all else as above.
function __driver_remote
    set -l words (commandline -opc)
    test (count $words) -gt 2; and test $words[2] = remote; or return
    $words[1] remote --complete -- $words[3..] (commandline -ct) 2>/dev/null
end
complete -c driver -n "__fish_seen_subcommand_from remote" -a "(__driver_remote)"
