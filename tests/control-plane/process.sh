# shellcheck shell=bash disable=SC2154 # label, timeout and dir come from the script
# Sourced by the run scripts of control-plane and moto, and by tests/clients/python: detached processes on ports of
# 127.0.0.1. Needs Linux (/proc) and bash 5.1.
# A process NAME of the folder $dir has NAME.pid, NAME.identity and NAME.log there.
# Set by the script that sources this: label, timeout (seconds), usage(), dir, end_all().

say() { printf '%s: %s\n' "$label" "$*" >&2; }
die() { say "$*"; exit 1; }
misuse() { say "$*"; usage >&2; exit 2; }
missing() { say "$*"; exit 3; }

now() { date +%s%N; }
since() { local ms=$((($(now) - $1) / 1000000)); printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100)); }
expired() { (($(now) > $1)); }
deadline() { echo $(($(now) + $1 * 1000000000)); }

# The one way to wait for what tells nobody that it has changed: a process that is not ours, a port,
# a server's answer. 1 when UNTIL has passed and it still does not hold.
wait_until() { # UNTIL COMMAND...
    local until=$1
    shift
    until "$@"; do
        ! expired "$until" || return 1
        read -rt 0.05 <> <(:) || true
    done
}

identity() { # PID: boot and start time, so that a reused number is not taken for ours
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    stat=${stat##*) }
    [[ $stat != Z* && $stat != X* ]] || return 1
    # shellcheck disable=SC2086 # split into fields; the 22nd of all is the 20th here
    set -- $stat
    echo "${20} $(cat /proc/sys/kernel/random/boot_id)"
}

running() { # NAME: prints the pid while the process that we started lives
    local pid
    pid=$(cat "$dir/$1.pid" 2>/dev/null) && [[ $pid =~ ^[0-9]+$ ]] || return 1
    [[ -s $dir/$1.identity && $(identity "$pid") == "$(<"$dir/$1.identity")" ]] || return 1
    echo "$pid"
}

launch() { # NAME PROGRAM ARGUMENT...: detached, with no open file of ours but its log
    local name=$1 pid identity
    shift
    (
        cd "$dir" || exit
        for fd in /proc/self/fd/*; do
            fd=${fd##*/}
            if ((fd > 2)); then eval "exec $fd>&-"; fi
        done 2>/dev/null
        exec setsid "$@" </dev/null >>"$dir/$name.log" 2>&1
    ) &
    pid=$!
    identity=$(identity "$pid") || identity=gone
    echo "$identity" >"$dir/$name.identity"
    echo "$pid" >"$dir/$name.pid"
}

end() { # NAME SIGNAL SECONDS: end it; SIGKILL when it is still there after SECONDS
    local name=$1 signal=$2 pid
    if pid=$(running "$name"); then
        kill -s "$signal" "$pid" 2>/dev/null || true
        if ! wait_until "$(deadline "$3")" ended "$name"; then
            say "$name (pid $pid) did not end within $3 s: SIGKILL"
            kill -s KILL "$pid" 2>/dev/null || true
            wait_until "$(deadline 10)" ended "$name" ||
                die "$name (pid $pid) does not end, not even by SIGKILL"
        fi
    fi
    rm -f "$dir/$name.pid" "$dir/$name.identity"
}

ended() { ! running "$1" >/dev/null; }

listens() { # PID PORT: does this very process listen on 127.0.0.1:PORT?
    local port fd inode line
    printf -v port '0100007F:%04X' "$2"
    inode=$(awk -v port="$port" '$2 == port && $4 == "0A" { print $10; exit }' /proc/net/tcp)
    [[ $inode ]] || return 1
    for fd in "/proc/$1/fd"/*; do
        line=$(readlink "$fd" 2>/dev/null) || continue
        [[ $line != "socket:[$inode]" ]] || return 0
    done
    return 1
}

port_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() { # below the range from which the kernel takes ports for outgoing connections
    local port
    for _ in {1..200}; do
        port=$((10240 + SRANDOM % 22000))
        if port_free "$port"; then
            echo "$port"
            return
        fi
    done
    die 'no free port on 127.0.0.1'
}

lost_port() { grep -qi "address already in use" "$dir/$1.log" 2>/dev/null; }

tail_log() { # NAME: the last lines of its log, for a failure
    say "the end of $dir/$1.log:"
    tail -n 25 "$dir/$1.log" >&2 2>/dev/null || say '(no log)'
}

wait_listening() { # NAME PORT UNTIL: 0 listening, 4 the port was lost to another process
    local name=$1 port=$2
    if ! wait_until "$3" listens_or_ended "$name" "$port"; then
        tail_log "$name"
        die "$name does not listen on port $port after $timeout s"
    fi
    ended "$name" || return 0
    lost_port "$name" && return 4
    tail_log "$name"
    die "$name ended while it was starting"
}

listens_or_ended() { # NAME PORT
    local pid
    ! pid=$(running "$1") || listens "$pid" "$2"
}

give_up() { # as EXIT trap: a start that did not end well leaves no process behind
    local status=$?
    trap - EXIT
    say "not started; ending what runs (the logs stay in $dir)"
    end_all
    exit "$status"
}

guard_start() { # until `trap - EXIT`; the script has end_all()
    trap give_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

have_venv() { python3 -c 'import ensurepip, venv' 2>/dev/null; }

venv() { # REQUIREMENTS: prints the Python of their venv; makes it if it is not there
    local root target began key log
    command -v flock >/dev/null || missing 'flock is missing; install util-linux'
    command -v python3 >/dev/null || missing 'python3 is missing; install Python 3.10 or newer with its venv module'
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || missing "$(python3 --version) is too old; it must be Python 3.10 or newer"
    root=${INV_TUI_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or INV_TUI_CACHE}/.cache}/inv-tui}
    mkdir -p "$root"
    root=$(cd "$root" && pwd)
    # a venv knows its own path and its Python, so both are in the key
    key=$({ cat "$1"; python3 -c 'import sys; print(sys.version, sys.base_prefix)'; echo "$root"; } | sha256sum)
    target=$root/venv-${key:0:12}
    if [[ ! -e $target/complete ]]; then
        if ! have_venv && [[ -e /etc/debian_version ]] && ((EUID == 0)); then
            say 'the Python module venv is missing; installing python3-venv'
            { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends python3-venv; } >&2 ||
                say 'apt-get failed'
        fi
        have_venv || missing 'the Python module venv is missing; install python3-venv'
        exec {lock}>"$target.lock"
        if ! flock -n "$lock"; then
            say "another run is making $target; waiting for it"
            flock "$lock"
        fi
        if [[ ! -e $target/complete ]]; then
            say "making $target"
            began=$(now) log=$target.log
            rm -rf "$target"
            { python3 -m venv "$target" &&
                "$target/bin/python" -m pip install --disable-pip-version-check -r "$1"; } >"$log" 2>&1 || {
                tail -n 15 "$log" >&2
                die "the Python packages could not be installed; all of it is in $log"
            }
            : >"$target/complete" # the last step: without it the venv is not complete
            say "ready in $(since "$began")"
        fi
        exec {lock}>&-
    fi
    echo "$target/bin/python"
}
