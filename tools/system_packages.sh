#!/bin/sh
# Install the servers and proxies of others that tests/outside runs, where that can be done: Debian or a child of it, as root.
#
#     tools/system_packages.sh [--list]
#
# Nothing is done where all are there; elsewhere it says what is missing, and the tests that need it are skipped (on a CI
# that could have installed it they fail instead: see tests/support/programs.py). None of them is started as a service.
# --list: print "program package" lines, and end.
set -eu

# Program, package. squid-openssl and not squid: only with OpenSSL can it be reached over TLS by all clients.
needed="\
microsocks microsocks
danted dante-server
tinyproxy tinyproxy
squid squid-openssl
socat socat
stunnel stunnel4
openssl openssl
ip iproute2
unshare util-linux"

say() { printf 'wirelane: %s\n' "$*" >&2; }

# Daemons live where only root's PATH looks.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PATH

[ "${1:-}" = "--list" ] && { printf '%s\n' "$needed"; exit 0; }
[ $# -eq 0 ] || { echo "usage: tools/system_packages.sh [--list]" >&2; exit 2; }

missing=""
packages=""
while read -r program package; do
    command -v "$program" >/dev/null 2>&1 && continue
    missing="$missing $program"
    packages="$packages $package"
done <<END
$needed
END
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    say "not installed:$missing. There is no apt-get to install them with: the tests that need them are skipped."
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    say "not installed:$missing. The tests that need them are skipped; to run them: sudo apt-get install$packages"
    exit 0
fi

# What a package's scripts would start, they ask this file about (invoke-rc.d(8)); one that is there already is the
# administrator's word.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

# shellcheck disable=SC2086  # the packages are words
install() {
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends \
        -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 $packages </dev/null
}

say "installing$packages"
log=$(mktemp)
# The lists of a fresh machine are empty or old: then the first try fails, and the second one is told more.
if ! install >"$log" 2>&1; then
    if ! { apt-get update --quiet=2 -o DPkg::Lock::Timeout=120 </dev/null && install; } >>"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        say "apt-get could not install$packages; its words are above."
        exit 1
    fi
fi
rm -f "$log"
