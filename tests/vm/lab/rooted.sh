#!/bin/sh
# rooted.sh COMMAND...: runs it with its root as that of its mount namespace, which must be its own. Whoever came here by
# chroot is behind the root otherwise, and a process that enters a container's mounts (docker exec) lands outside.
set -eu
PATH=$PATH:/usr/sbin:/sbin
if [ "$(stat -c %d:%i /)" != "$(nsenter --mount=/proc/self/ns/mnt stat -c %d:%i /)" ]; then
  # Into the namespace's own root, with this one as the folder where we are, and the one goes under the other.
  # shellcheck disable=SC2016  # the inner shell expands its own arguments
  exec nsenter --mount=/proc/self/ns/mnt --wd=/ sh -c 'pivot_root . . && umount -l . && cd / && exec "$@"' sh "$@"
fi
exec "$@"
