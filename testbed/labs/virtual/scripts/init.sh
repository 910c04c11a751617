# First process of a virtual device. Its life line is standard input: at its end the device ends,
# and the kernel ends all that runs in it.
#   CONSOLE  terminal of the serial console, below /dev
#   PORTS    interfaces, in order
#   OPTIONS  words that the platform's script knows
set -eu

# Shows the ends of all logs when the start fails; the rack passes them on.
explain() {
    for log in /var/log/*.log /var/log/openvswitch/*.log; do
        if [ -s "$log" ]; then
            echo "--- $log"
            tail -n 15 "$log"
        fi
    done
}
trap 'status=$?; trap - EXIT; explain >&2; exit "$status"' EXIT

# Runs a command that leaves a daemon behind: its three descriptors lead away from ours.
daemon() {
    name=$(basename "$1")
    "$@" </dev/null >>"/var/log/$name.log" 2>&1 3>&- || {
        status=$?
        echo "$name ended with status $status: $*" >&2
        exit 1
    }
}

start_sshd() {
    mkdir -p /run/sshd
    mkfifo /run/sshd/listening
    {
        status=0
        /usr/sbin/sshd -D -e -f /run/ssh/sshd_config </dev/null >>/var/log/sshd.log 2>&1 || status=$?
        echo "ended with status $status" >/run/sshd/listening
    } 3>&- &
}

await_sshd() {
    read -r state </run/sshd/listening
    case $state in
        ended*)
            echo "sshd $state" >&2
            exit 1
            ;;
    esac
    # From here on a plain file, or a restart of sshd would block on the pipe.
    rm -f /run/sshd/listening
}

# A login prompt on the serial line, and a new one whenever somebody logs out.
serve_console() {
    while :; do
        setsid --wait agetty --local-line --keep-baud --8bits --noissue --nohints --noclear \
            --nonewline 9600 "$CONSOLE" vt100 || sleep 0.2
    done </dev/null >>/var/log/console.log 2>&1 3>&-
}

start_sshd
serve_console &
. /run/init/platform.sh
await_sshd
trap - EXIT
echo ready >&3
exec 3>&-
# Ignored, this signal lets the kernel bury the orphans that this process inherits.
trap '' CHLD
exec cat >/dev/null 2>&1
