# What the clients share; each sources it first, with the path of `martlet` as its argument. It makes a folder ($work) that is gone
# at the end, and offers: `needs` and `python_client` for what has to be installed, `cluster` to start `martlet up` on a free port,
# `api` to ask it without any client, `empty` and `drained` for the end. Not a program.
set -euo pipefail
martlet=$(readlink -f "$1")
work=$(mktemp -d)
up=""
# Clients keep settings and caches there; nothing of the machine's owner is read or touched.
export HOME=$work/home
mkdir "$HOME"

finish() {
    status=$?
    for pid in ${helper:-} $up; do kill -TERM "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
    if [ $status -ne 0 ] && [ $status -ne 77 ]; then
        echo "failed; the end of each log:"
        tail -n 12 "$work"/cluster/log/*.log "$work"/*.log 2>/dev/null | cut -c1-300 || true
    fi
    rm -rf "$work"
    exit $status
}
trap finish EXIT

say() { printf '   %s\n' "$*"; }
skip() { echo "skipped: $*"; exit 77; }
same() { diff -r "$1" "$2" > "$work/diff.log" || { head -5 "$work/diff.log"; return 1; }; }
has() { grep -qE -- "$1" <<<"$2" || { echo "expected '$1' in:"; head -20 <<<"$2"; return 1; }; }
is() { [ "$1" = "$2" ] || { echo "expected '$1', not '$2'"; return 1; }; }
refused() { if "$@" > "$work/refused.log" 2>&1; then echo "expected to be refused: $*"; return 1; fi; }

eventually() { # a right or a key given through one core is known to the others within a second (docs/decisions/0002)
    local attempt
    for attempt in $(seq 50); do
        "$@" > "$work/eventually.log" 2>&1 && return
        sleep 0.2
    done
    cat "$work/eventually.log"
    echo "still refused after $attempt attempts: $*"
    return 1
}

settles() { # EXPECTED COMMAND...: at the latest after 30 s: under load a container hears of an object later, from the updater
    local expected=$1
    shift
    for _ in $(seq 60); do
        [ "$("$@")" != "$expected" ] || return 0
        sleep 0.5
    done
    is "$expected" "$("$@")"
}

needs() { # COMMAND PACKAGE...: packages of Debian that bring the command
    local command=$1
    shift
    dpkg -s "$@" > /dev/null 2>&1 && command -v "$command" > /dev/null && return
    local as_root=""
    [ "$(id -u)" = 0 ] || as_root="sudo -n"
    # RUNLEVEL=1: what a package would start as a service is not started.
    { $as_root apt-get update -q && $as_root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"; } \
        > "$work/apt.out" 2>&1 || skip "$*: $(tail -n 1 "$work/apt.out")"
    command -v "$command" > /dev/null || skip "$* brings no $command"
}

python_client() { # PACKAGE...: from PyPI, into a virtual environment of its own that comes first in PATH
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install -q --disable-pip-version-check --no-cache-dir "$@" > "$work/pip.out" 2>&1 || skip "$*: $(tail -n 1 "$work/pip.out")"
    PATH=$work/venv/bin:$PATH
}

cluster() { # [OPTION of martlet up...]
    "$martlet" up "$work/cluster" --port 0 "$@" > "$work/up.out" 2> "$work/up.log" &
    up=$!
    for _ in $(seq 600); do
        grep -q 'Ctrl-C' "$work/up.out" && break
        kill -0 "$up" 2>/dev/null || { cat "$work/up.log"; exit 1; }
        sleep 0.1
    done
    eval "$("$martlet" env --swift "$work/cluster")"
    endpoint=${ST_AUTH%/auth/*}
    local answer
    answer=$(curl -sS -f -i -m 10 -H "X-Auth-User: $ST_USER" -H "X-Auth-Key: $ST_KEY" "$ST_AUTH" | tr -d '\r')
    storage=$(sed -n 's/^X-Storage-Url: //Ip' <<<"$answer")
    token=$(sed -n 's/^X-Auth-Token: //Ip' <<<"$answer")
}

api() { # METHOD PATH [OPTION of curl...]: below the account's URL
    local method=$1 path=$2
    shift 2
    [ "$method" != HEAD ] || set -- -I "$@"
    curl -sS -f -m 60 -X "$method" -H "X-Auth-Token: $token" "$@" "$storage/$path"
}

remove() { # CONTAINER...: with all that is in it
    for container; do
        api GET "$container" | python3 -c 'import sys, urllib.parse
for name in sys.stdin.buffer.read().splitlines(): print(urllib.parse.quote(name))' |
            while IFS= read -r name; do api DELETE "$container/$name"; done
        api DELETE "$container"
    done
}

empty() { # the account's counts return to zero, at the latest after 60 s: the account is told in the background
    local head counts
    for _ in $(seq 120); do
        head=$(api HEAD '' | tr -d '\r')
        counts=$(sed -n 's/^X-Account-\(Container-Count\|Object-Count\|Bytes-Used\): //Ip' <<<"$head" | tr '\n' ' ')
        [ "$counts" != '0 0 0 ' ] || return 0
        sleep 0.5
    done
    echo "the account's counts did not return to zero:"
    echo "$head"
    api GET ''
    return 1
}

drained() { # Ctrl-C ends the cluster and leaves no process behind
    local pids pid
    pids=$(cat "$work"/cluster/run/*.pid)
    kill -INT "$up"
    wait "$up"
    up=""
    for pid in $pids; do
        if kill -0 "$pid" 2>/dev/null; then echo "process $pid is left"; return 1; fi
    done
}

tree() { # FOLDER FILES: the machine's documentation, filled up where it is short, and names that hurt
    python3 - "$1" "$2" <<'P'
import os, shutil, sys
tree, wanted = sys.argv[1], int(sys.argv[2])
found = sorted(f'{folder}/{name}' for folder, _, names in os.walk('/usr/share/doc') for name in names)
found = [path for path in found if os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path) < 1_000_000]
for path in found[:wanted]:
    os.makedirs(tree + os.path.dirname(path), exist_ok=True)
    shutil.copyfile(path, tree + path)
for number in range(len(found), wanted):
    os.makedirs(f'{tree}/made/{number % 50}', exist_ok=True)
    with open(f'{tree}/made/{number % 50}/file-{number}', 'wb') as file:
        file.write(os.urandom(number * 7 % 9000))
os.makedirs(tree + '/names/deep/er')
names = ['with space', '100% sure', 'a+b=c&d;e', 'Grüße-日本-🐦.txt', 'deep/er/%2F literally', 'question?mark#hash']
for letter, name in zip('abcdef', names):
    with open(f'{tree}/names/{name}', 'w') as file:
        file.write(letter)
open(tree + '/names/empty', 'w').close()
P
}
