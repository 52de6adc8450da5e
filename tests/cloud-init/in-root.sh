#!/bin/bash
# in-root.sh COMMAND...: runs it as root in a throw-away copy of the image's root, with the VM's files where a VM has
# them (/opt/mayfly), this repository read-only at /repo, and a network of its own that leads nowhere.
# Exit status: the command's; 3 when there is no such root here (image.sh says why).
set -euo pipefail

lay_out() {
  local to=$1/opt/mayfly
  mkdir -p "$to/workspace"
  cp -r "$REPO/cloud-init/vm/." "$to"
  cp -r "$REPO/cloud-init/workspace/." "$to/workspace"
  find "$to" -name __pycache__ -prune -exec rm -rf {} +
  # As the archives have them.
  find "$to" -type f -exec chmod 0644 {} +
  find "$to" -type f \( -name '*.sh' -o ! -name '*.*' \) -exec chmod 0755 {} +
  cp "$to"/units/*.service "$to"/units/*.timer "$to"/workspace/units/*.{service,timer} "$1/etc/systemd/system/"
  chroot "$1" useradd --create-home --uid 1000 --shell /bin/bash dev
  chroot "$1" useradd --system mayfly-door
  # Units name what a VM installs.
  for name in caddy ttyd; do
    if [ ! -x "$1/usr/local/bin/$name" ]; then printf '#!/bin/sh\nexit 1\n' >"$1/usr/local/bin/$name" && chmod 0755 "$1/usr/local/bin/$name"; fi
  done
}

main() {
  local copy=$BASE.run
  mkdir -p "$copy"
  mount -t tmpfs tmpfs "$copy"
  mkdir "$copy/up" "$copy/work" "$copy/root"
  mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$copy/up,workdir=$copy/work" "$copy/root"
  lay_out "$copy/root"
  mkdir -p "$copy/root/repo"
  mount --bind -o ro "$REPO" "$copy/root/repo"
  if [ -n "${MAYFLY_RENDERED:-}" ]; then
    mkdir "$copy/root/rendered"
    mount --bind -o ro "$MAYFLY_RENDERED" "$copy/root/rendered"
  fi
  mount -t proc proc "$copy/root/proc"
  mount --rbind /dev "$copy/root/dev"
  ip link set lo up
  exec chroot "$copy/root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/opt/mayfly:/opt/mayfly/workspace "$@"
}

if [ "${IN_ROOT:-}" = 1 ]; then
  main "$@"
else
  REPO=$(cd "$(dirname "$0")/../.." && pwd)
  BASE=$("$REPO/tests/cloud-init/image.sh")
  IN_ROOT=1 REPO=$REPO BASE=$BASE exec unshare --mount --net --pid --fork --kill-child --propagation private bash "$0" "$@"
fi
