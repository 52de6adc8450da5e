// What breaks on a VM neither ends it early nor keeps it: a full disk, a root that cannot be written, a full /run, no
// Docker, no `ss`, a dead cron. Each VM is idle from then on and must go, but not before its limit.
export const minutes = 30;

const IDLE_MINUTES = 2;

/** What is done to each, and how it is seen to have worked. */
const FAULTS = {
  // The disk as the scripts see it: each place that they write to, on a file system with nothing left.
  'a full disk': [`
    for dir in /var/lib/mayfly /var/log/mayfly /home/dev /tmp /workspaces; do
      mkdir -p "/run/full$dir"
      mount -t tmpfs -o "size=$(( $(du -sk "$dir" | cut -f1) + 512 ))k" full "/run/full$dir"
      cp -a "$dir/." "/run/full$dir/"
      mount --bind "/run/full$dir" "$dir"
      head -c 1G /dev/zero >"$dir/filler" 2>/dev/null || :
    done`, '! echo x >/var/log/mayfly/x && ! echo x >/tmp/x'],
  // As it looks to whoever opens a file from now on; what is open for writing already would keep the root itself writable.
  'a root that cannot be written': [
    'for dir in /etc /home /opt /root /tmp /usr /var /workspaces; do mount --rbind "$dir" "$dir" && mount -o remount,bind,ro "$dir"; done',
    '! touch /var/lib/mayfly/x && ! touch /etc/x && ! touch /home/dev/x',
  ],
  'a full /run': [
    `mount -o remount,size=$(( $(du -sk /run | cut -f1) + 512 ))k /run; head -c 1G /dev/zero >/run/filler || :`, '! echo x >/run/mayfly/x',
  ],
  'no Docker and no ss': ['systemctl stop docker.socket docker; rm "$(readlink -f "$(command -v ss)")"', '! command -v ss && ! docker info'],
  // The timer goes on by itself, more seldom.
  'a dead cron': ['systemctl stop cron; systemctl mask cron', '! systemctl is-active cron'],
};

export default async function broken(lab) {
  const { assert, git } = lab;
  git.addRepo('shop', { files: { 'README.md': '# Shop\n' } });
  const begun = [];
  for (const [name, [script, check]] of Object.entries(FAULTS)) {
    await lab.step(`${name}: it happens to a VM that works`, async () => {
      const { id, guest } = await lab.create({ repo_url: git.url('shop'), web_ui: 'ttyd', idle_minutes: IDLE_MINUTES });
      await lab.ready(id);
      await guest.inside('echo typed >seen.txt; rm seen.txt; touch README.md');
      begun.push({ name, id, since: Date.now() });
      await guest.sh(script);
      await guest.sh(check);
      assert.ok(guest.isUp());
    });
    await lab.step(`${name}: it is deleted, and not early`, async () => {
      const { id, since } = begun.at(-1);
      await lab.gone(id, { timeoutMs: 12 * 60_000 });
      const seconds = (Date.now() - since) / 1000;
      process.stdout.write(`    after ${seconds.toFixed(0)} s\n`);
      assert.ok(seconds >= IDLE_MINUTES * 60 - 10, `after ${seconds} s`);
    });
  }
}
