#!/usr/bin/env bash
# Install this checkout as the service ailinux-backend. Says what it will do and asks before it does it; doing it
# again changes nothing that is in order already. Settings that are there are never touched.
#   deploy/systemd/install.sh --dry-run     only say it
#   sudo deploy/systemd/install.sh          say it, ask, do it
#   sudo deploy/systemd/install.sh --yes    say it, do it
#   … --root DIR                            into DIR, as a package build would: no user, no .venv, no systemctl
# To remove it again:
#   sudo systemctl disable --now ailinux-backend
#   sudo rm /etc/systemd/system/ailinux-backend.service && sudo systemctl daemon-reload
#   sudo rm -r /opt/ailinux-backend
#   and, if nobody needs them any more, the settings, the database and the audit log:
#   sudo rm -r /etc/ailinux-backend /var/lib/ailinux-backend /var/log/ailinux-backend; sudo userdel ailinux-backend
set -euo pipefail
cd "$(dirname "$0")/../.."

name=ailinux-backend
root='' yes='' dry=''
while [ $# -gt 0 ]; do
    case $1 in
        --dry-run) dry=1 ;;
        --yes) yes=1 ;;
        --root) root=${2:?--root needs a directory}; shift ;;
        -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0"; exit 0 ;;
        *) printf 'unknown argument %s; see --help\n' "$1" >&2; exit 2 ;;
    esac
    shift
done

code=$root/opt/$name settings=$root/etc/$name/.env unit=$root/etc/systemd/system/$name.service
source=$PWD

# What is there, in one line per file, without what a running checkout makes for itself.
fingerprint() {
    (cd "$1" && find . \( -path ./.git -o -path ./.venv -o -path ./data -o -path ./logs \
        -o -path ./build -o -path ./src/tristar/edge/static/parts -o -name __pycache__ -o -name '.*_cache' \
        -o -name .hypothesis \) -prune -o -type f -print0 | sort -z | xargs -0 sha256sum)
}
same_code() { [ -d "$code" ] && { [ "$source" -ef "$code" ] || [ "$(fingerprint .)" = "$(fingerprint "$code")" ]; }; }

steps=() says=()
plan() { steps+=("$1"); says+=("$2"); }

make_user() { useradd --system --home-dir "/var/lib/$name" --shell /usr/sbin/nologin "$name"; }
copy_code() {
    local new=$code.new
    rm -rf "$new"
    mkdir -p "$new"
    tar --create --exclude=./.git --exclude=./.venv --exclude=./data --exclude=./logs --exclude=./build --exclude=__pycache__ \
        --exclude='.*_cache' --exclude=.hypothesis . | tar --extract --no-same-owner --directory "$new"
    rm -rf "$code"
    mv "$new" "$code"
}
make_venv() { "$code/scripts/venv" run; }
write_settings() {
    install -d -m 750 "${settings%/*}"
    install -m 640 deploy/systemd/environment "$settings"
    [ -n "$root" ] || chgrp -R "$name" "${settings%/*}"
}
write_unit() { install -D -m 644 "deploy/systemd/$name.service" "$unit"; }
reload() { systemctl daemon-reload; }
enable() { systemctl enable "$name"; }

[ -n "$root" ] || getent passwd "$name" >/dev/null || plan make_user "make the system user $name"
if ! same_code; then
    plan copy_code "copy this checkout to $code"
    [ -n "$root" ] || plan make_venv "make $code/.venv from requirements/run.lock (downloads the packages)"
elif [ -z "$root" ] && [ ! -x "$code/.venv/bin/tristar" ]; then
    plan make_venv "make $code/.venv from requirements/run.lock (downloads the packages)"
fi
[ -e "$settings" ] || plan write_settings "write $settings (where audit log and data are; put your keys there)"
if ! cmp -s "deploy/systemd/$name.service" "$unit"; then
    plan write_unit "write $unit"
    [ -n "$root" ] || plan reload "have systemd read it: systemctl daemon-reload"
fi
if [ -z "$root" ] && ! systemctl is-enabled --quiet "$name" 2>/dev/null; then
    plan enable "start it at every boot: systemctl enable $name"
fi

if [ ${#steps[@]} -eq 0 ]; then
    echo "Everything is in order; nothing to do."
    exit 0
fi
echo "This will:"
printf '  - %s\n' "${says[@]}"
[ -z "$dry" ] || exit 0
if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then
    echo "Run it as root: sudo $0" >&2
    exit 1
fi
if [ -z "$yes" ]; then
    [ -t 0 ] || { echo "Nothing was done: say --yes where nobody can be asked." >&2; exit 1; }
    read -r -p "Go on? [y/N] " answer
    [[ $answer == [yY]* ]] || { echo "Nothing was done."; exit 1; }
fi
for step in "${steps[@]}"; do "$step"; done
echo "Done. Look at $settings, then: systemctl restart $name && systemctl status $name"
