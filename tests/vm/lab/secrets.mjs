// Looks for secrets the way somebody would who has the machine: as they are, as base64 at each alignment, as hex. Asserts nothing.

/** Each text that a secret would be found by. */
export function shapes(secret) {
  const bytes = Buffer.from(secret);
  const base64 = [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
    // The first and last characters also depend on what stands beside it.
    return text.slice(Math.ceil((before * 4) / 3), Math.floor(((before + bytes.length) * 4) / 3));
  });
  const hex = bytes.toString('hex');
  return [...new Set([secret, ...base64, ...base64.map((it) => it.replaceAll('+', '-').replaceAll('/', '_')), hex, hex.toUpperCase()])];
}

/** Whether a text has it in some shape. */
export const holds = (text, secret) => shapes(secret).some((it) => text.includes(it));

const PLACES = '/etc /var/lib/mayfly /var/lib/cloud /var/lib/mayfly-door /home /workspaces /root /tmp /var/tmp /opt/mayfly /var/lib/docker/containers';

/** The files of a guest that have it in some shape. */
export async function filesWith(guest, secret) {
  const found = await guest.run(`grep -rlsF -D skip -f - ${PLACES}`, { input: shapes(secret).join('\n'), timeoutMs: 180_000 });
  return found.out.split('\n').filter(Boolean);
}

/** What processes say of themselves: `{arguments, environments}`; the latter of those outside the container that are not root's. */
export async function processes(guest) {
  return {
    arguments: await guest.sh('cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" " "'),
    environments: await guest.sh('for p in $(pgrep -u dev,mayfly-door); do [ "$(readlink /proc/$p/ns/mnt)" = "$(readlink /proc/1/ns/mnt)" ] && tr "\\0" "\\n" </proc/$p/environ; done; true'),
  };
}

/** The guest's logs, in one text. */
export function logs(guest) {
  return guest.sh('journalctl --no-pager -q; cat /var/log/mayfly/*.log /var/log/cloud-init*.log /root/.npm/_logs/* 2>/dev/null; docker logs $(cat /var/lib/mayfly/container/id) 2>&1', { timeoutMs: 120_000 });
}
