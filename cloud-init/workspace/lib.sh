# shellcheck shell=bash
# What the shell parts share: places, values, logs, pinned downloads, the unprivileged user. Runs nothing by itself.
# MAYFLY_ROOT puts everything below another root, for tests.
# shellcheck disable=SC2034  # for those who source this
ROOT=${MAYFLY_ROOT:-}
HERE=${MAYFLY_HERE:-/opt/mayfly/workspace}
TOP=${MAYFLY_TOP:-/opt/mayfly}
ETC=$ROOT/etc/mayfly
STATE=$ROOT/var/lib/mayfly
RUN=$ROOT/run/mayfly
LOG=$ROOT/var/log/mayfly
TOOLS=$ROOT/opt/mayfly-tools
DEV_HOME=$ROOT/home/dev
# The Python parts of the first folder are shared.
export DEBIAN_FRONTEND=noninteractive PYTHONPATH=$TOP

# A value of vm.json, or nothing. Values are only ever read, never evaluated.
value() {
  cat "$ETC/values/$1" 2>/dev/null || :
}

secret() {
  cat "$ETC/secrets/$1" 2>/dev/null || :
}

workspace() {
  printf '%s/workspaces/%s\n' "$ROOT" "$(value repo_name)"
}

say() {
  printf '%s %s\n' "$(date -u +%FT%TZ)" "$*"
}

# Options for git, a line each: repo_url's host, over https or ssh, with whatever credential there is for it (share.py).
git_way() {
  local setting
  while IFS= read -r setting; do printf '%s\n' -c "$setting"; done <"$RUN/git/options"
}

# Why this step fails: the boot script names the file and reports what is in it. Steps run side by side, so each has its own.
because() {
  printf '%s\n' "$1" >"${REASON_FILE:-$RUN/reason}"
}

# retry TIMES SECONDS COMMAND...
retry() {
  local left=$1 pause=$2
  shift 2
  until "$@"; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || return 1
    say "again in $pause s: $1"
    sleep "$pause"
    pause=$((pause * 2))
  done
}

# fetch URL ALGORITHM CHECKSUM FILE: downloads over https and keeps the file only if it is the pinned one.
fetch() {
  local part=$4.part
  if ! retry 4 2 curl -fsSL --proto '=https' --proto-redir '=https' --connect-timeout 15 --max-time 240 -o "$part" "$1"; then
    because download_failed
    return 1
  fi
  if ! printf '%s  %s\n' "$3" "$part" | "$2sum" -c --status; then
    say "checksum mismatch: $1"
    because download_failed
    rm -f "$part"
    return 1
  fi
  mv "$part" "$4"
}

# as_dev COMMAND...: as the user without rights, with a clean environment.
as_dev() {
  (
    umask 022
    exec setpriv --reuid dev --regid dev --init-groups --inh-caps=-all \
      env -i HOME="$DEV_HOME" USER=dev LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin "$@"
  )
}
