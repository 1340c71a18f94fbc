# What the scripts that make tokens share; read with `.`, never run. All that a person should read goes to stderr:
# stdout is for `eval`.
# shellcheck shell=sh

LABEL=keysvc-test

say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "error: $*"
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@" >&2
    elif command -v sudo >/dev/null; then
        sudo "$@" >&2
    else
        die "this needs root: $*"
    fi
}

# install_for COMMAND DEBIAN FEDORA HOMEBREW: installs the packages of this system when COMMAND is missing; - means none.
install_for() {
    PATH=$PATH:/usr/sbin:/sbin
    command -v "$1" >/dev/null && return
    say "installing what $1 needs"
    if command -v apt-get >/dev/null && [ "$2" != - ]; then
        # shellcheck disable=SC2086  # several packages are several words
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $2 ||
            { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $2; }
    elif command -v dnf >/dev/null && [ "$3" != - ]; then
        # shellcheck disable=SC2086
        as_root dnf install -y -q $3
    elif command -v brew >/dev/null && [ "$4" != - ]; then
        brew install --quiet "$4" >&2
    fi
    command -v "$1" >/dev/null || die "$1 is missing; install $2 (Debian), $3 (Fedora) or $4 (Homebrew)"
}

# first_file PATH...: the first that exists.
first_file() {
    for file in "$@"; do
        [ -e "$file" ] && printf '%s\n' "$file" && return
    done
    die "none of these is there: $*"
}

# make_folder FOLDER: makes it, for its owner only, and prints its absolute path.
make_folder() {
    (umask 077 && mkdir -p "$1" && cd "$1" && pwd -P)
}

# Eight random digits, a length that every token takes.
random_pin() {
    printf '%08d\n' "$(($(od -An -N4 -tu4 /dev/urandom) % 100000000))"
}

# export_line NAME VALUE: a line that any POSIX shell can read back, whatever is in the value.
export_line() {
    printf "export %s='%s'\n" "$1" "$(printf '%s' "$2" | sed "s/'/'\\\\''/g")"
}

# print_environment MODULE PIN_FILE
print_environment() {
    export_line KEYSVC_TEST_PKCS11_MODULE "$1"
    export_line KEYSVC_TEST_PKCS11_TOKEN "$LABEL"
    export_line KEYSVC_TEST_PKCS11_PIN_FILE "$2"
}
