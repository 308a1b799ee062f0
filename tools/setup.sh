#!/bin/sh
# Prepares this checkout: Debian packages that are missing, and a virtual environment in .venv from requirements.lock.
#
#   tools/setup.sh run     what `gateway demo` needs
#   tools/setup.sh test    that, and what the tests need
#
# It installs nothing that is already there, starts no service, and does nothing the second time.
# The machine's own pip and apt settings are used as they are.
set -eu
cd "$(dirname "$0")/.."

RUN_PACKAGES="ca-certificates gnupg"
TEST_PACKAGES="libnet-ssleay-perl nsd openssl p7zip-full postfix postgresql procps qpdf strace swaks systemd unbound zip"
POLICY=/usr/sbin/policy-rc.d
GUARD_MARK="# partner-mail-gateway: no service is started during set-up"

say() { printf '%s\n' "$*"; }
give_up() { say "$*" >&2; exit 1; }

case "${1:-run}" in
    run) wanted=$RUN_PACKAGES ;;
    test) wanted="$RUN_PACKAGES $TEST_PACKAGES" ;;
    *) give_up "usage: tools/setup.sh [run|test]" ;;
esac

suitable() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    # Debian's own comes first: it is built with profile-guided optimisation, most self-made ones are not.
    for candidate in /usr/bin/python3.11 python3.11 python3 python3.12 python3.13; do
        if suitable "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
}

missing_packages() {
    for package in $wanted; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || printf '%s ' "$package"
    done
}

release_services() {
    if [ -e "$POLICY.before-set-up" ]; then
        mv -f "$POLICY.before-set-up" "$POLICY"
    elif grep -qsF "$GUARD_MARK" "$POLICY"; then
        rm -f "$POLICY"
    fi
}

hold_services() {
    release_services # what a set-up that was killed may have left
    if [ -e "$POLICY" ]; then mv "$POLICY" "$POLICY.before-set-up"; fi
    trap release_services EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\n%s\nexit 101\n' "$GUARD_MARK" >"$POLICY"
    chmod 755 "$POLICY"
}

install_packages() {
    if [ "$(id -u)" -ne 0 ]; then
        give_up "These Debian packages are missing: $* - install them as root with: apt-get install --no-install-recommends $*"
    fi
    say "Installing Debian packages: $*"
    case " $* " in
        *" postfix "*) say "(Postfix without a configuration; neither it nor PostgreSQL is started here.)" ;;
    esac
    hold_services
    export DEBIAN_FRONTEND=noninteractive
    printf 'postfix postfix/main_mailer_type select No configuration\n' | debconf-set-selections
    log=$(mktemp)
    if ! { apt-get -qq -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 update &&
        apt-get -qq -y -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
            install --no-install-recommends "$@"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        give_up "apt-get could not install these packages; its whole output is in $log"
    fi
    rm -f "$log"
    release_services
    trap - EXIT INT TERM HUP
}

python=$(find_python)
[ -n "$python" ] || wanted="$wanted python3 python3-venv"
missing=$(missing_packages)
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086  # a list of words
    install_packages $missing
fi
[ -n "$python" ] || python=$(find_python)
[ -n "$python" ] || give_up "No Python 3.11 or later with the venv module was found; install python3 and python3-venv."

# The stamp names everything that the environment was made from, this folder included: an environment cannot be moved.
key=$( { pwd; cat requirements.lock pyproject.toml; } | sha256sum | cut -c1-32)
stamp=.venv/set-up-$key
if [ -e "$stamp" ] && .venv/bin/python -c 'import gateway' >/dev/null 2>&1; then
    exit 0
fi

if ! .venv/bin/python -c 'import pip' >/dev/null 2>&1; then
    say "Making the virtual environment .venv with $("$python" -V) ($python)"
    "$python" -m venv --clear .venv
fi
say "Installing $(grep -c '==' requirements.lock) Python packages from requirements.lock into .venv (hashes checked)"
.venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
.venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
rm -f .venv/set-up-*
: >"$stamp"
say "Ready: .venv/bin/gateway"
