// Static checks of what a VM runs, and its scripts' own tests, in a Debian 13 root (image.sh): the same shellcheck,
// systemd, nftables, cloud-init and Python for everybody. Booting it for real is the boot lab's business.
// Where such a root cannot be had (no root, no apt) everything here skips with the reason.
//   MAYFLY_RENDERED=folder   user data that the Worker rendered (*.yaml): checked beside the ones rendered here
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const REPO = join(HERE, '..', '..');
const SOURCES = join(REPO, 'cloud-init');
// Hetzner takes 32 KiB of user data in all; the rest of it is vm.json, keys and a ciphertext.
const ARCHIVE_BUDGET_BYTES = 24 * 1024;
// Travels in the answer of the boot exchange.
const WORKSPACE_BUDGET_BYTES = 64 * 1024;
const KNOWN_KEYS = ['chpasswd', 'disable_root', 'fqdn', 'hostname', 'manage_etc_hosts', 'runcmd', 'ssh_authorized_keys', 'ssh_pwauth', 'users', 'write_files'];

const run = (command, args, options = {}) => spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26, ...options });

/** Every file below a folder, but Python's caches. */
function filesOf(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && !entry.parentPath.includes('__pycache__'))
    .map(entry => join(entry.parentPath, entry.name))
    .sort();
}

/** The user data as the template's rules say; the Worker's own renderings come in through MAYFLY_RENDERED. */
function render({ name, keys, vmJson, archive }) {
  return readFileSync(join(SOURCES, 'user-data.yaml'), 'utf8')
    .replace(/\{#-?[\s\S]*?-?#\}\n?/g, '')
    .replace(/\{%- if !authorized_keys\.is_empty\(\) %\}\n([\s\S]*?)\{%- endif %\}\n/, keys.length ? '$1' : '')
    .replaceAll('{{ name|json }}', () => JSON.stringify(name))
    .replace('{{ authorized_keys|json }}', () => JSON.stringify(keys))
    .replace('{{ vm_json|json }}', () => JSON.stringify(vmJson))
    .replace('{{ archive|json }}', () => JSON.stringify(archive));
}

function packed(folder) {
  const { stdout, status } = run('sh', ['-c', `tar --sort=name --owner=0 --group=0 --mtime=@0 --exclude=__pycache__ -C "$1" -cf - . | gzip -9n | base64 -w0`, 'sh', folder]);
  assert.equal(status, 0);
  return stdout;
}

describe('without a root', () => {
  test('the archive of the user data and the one of the workspace keep to their budgets', () => {
    const vm = packed(join(SOURCES, 'vm')).length;
    const workspace = packed(join(SOURCES, 'workspace')).length;
    console.log(`vm ${vm} of ${ARCHIVE_BUDGET_BYTES} bytes, workspace ${workspace} of ${WORKSPACE_BUDGET_BYTES}`);
    assert.ok(vm < ARCHIVE_BUDGET_BYTES, `vm: ${vm}`);
    assert.ok(workspace < WORKSPACE_BUDGET_BYTES, `workspace: ${workspace}`);
  });

  test('static files hold no placeholder and nothing that looks like a secret', () => {
    const checksums = /^[A-Z_]+_(SHA256|SHA512|COMMIT)=[0-9a-f]+$/gm;
    for (const file of [...filesOf(join(SOURCES, 'vm')), ...filesOf(join(SOURCES, 'workspace'))]) {
      const name = relative(SOURCES, file);
      const text = readFileSync(file, 'utf8').replace(checksums, '');
      // Python's own doubled braces (str.format) and Docker's Go templates are no placeholders of ours.
      assert.doesNotMatch(text, /\{\{ *[a-z_]+(\|[a-z]+)? *\}\}/, `${name}: placeholder`);
      assert.doesNotMatch(text, /TODO|FIXME|\bXXX\b|CHANGEME/, `${name}: unfinished`);
      assert.doesNotMatch(text, /ghp_[A-Za-z0-9]{20}|sk-ant-[A-Za-z0-9]{10}|-----BEGIN|[A-Za-z0-9+/]{48,}={0,2}/, `${name}: a literal secret`);
    }
  });

  test('every file says what it is, and none is longer than 500 lines', () => {
    for (const file of [...filesOf(SOURCES), ...filesOf(HERE)]) {
      const lines = readFileSync(file, 'utf8').split('\n');
      assert.ok(lines.length <= 501, `${relative(REPO, file)}: ${lines.length} lines`);
      if (file.endsWith('.service') || file.endsWith('.timer')) continue;
      assert.match(lines.slice(0, 3).join('\n'), /#[ -] ?|"""|\/\/ /, `${relative(REPO, file)}: no opening comment`);
    }
  });

  test('every pinned download names its version and has a checksum', () => {
    const versions = Object.fromEntries(
      [...readFileSync(join(SOURCES, 'workspace/versions'), 'utf8').matchAll(/^([A-Z0-9_]+)=(.+)$/gm)].map(found => found.slice(1)));
    for (const [key, text] of Object.entries(versions)) {
      if (key.endsWith('_SHA256')) assert.match(text, /^[0-9a-f]{64}$/, key);
      if (key.endsWith('_SHA512')) assert.match(text, /^[0-9a-f]{128}$/, key);
      if (key.endsWith('_COMMIT')) assert.match(text, /^[0-9a-f]{40}$/, key);
      if (key.endsWith('_VERSION')) assert.match(text, /^\d+\.\d+(\.\d+)?$/, key);
    }
    const used = filesOf(join(SOURCES, 'workspace')).map(file => readFileSync(file, 'utf8')).join('\n');
    for (const key of Object.keys(versions)) assert.ok(used.split(key).length > 2, `${key} is not used`);
  });
});

describe('in a Debian 13 root', () => {
  let missing;
  let rendered;

  before(() => {
    const image = run(join(HERE, 'image.sh'), []);
    if (image.status === 3) missing = image.stderr.trim().split('\n').at(-1);
    else assert.equal(image.status, 0, image.stderr);
    rendered = mkdtempSync(join(tmpdir(), 'mayfly-rendered-'));
    const vmJson = JSON.stringify({ v: 1, repo_url: 'https://h/o/r"; reboot #', branch: "{{ x }} 'é\n: - &a", capability: 'c' });
    const archive = packed(join(SOURCES, 'vm'));
    const cases = {
      plain: { name: 'mayfly-repo-abcd', keys: ['ssh-ed25519 AAAAC3Nza user@host'], vmJson, archive },
      'no-keys': { name: 'mayfly-repo-abcd', keys: [], vmJson, archive },
      hostile: { name: 'mayfly-x: [a, b] # no', keys: ['ssh-ed25519 AAAA "quoted" \\ \u2028', 'ssh-rsa BBBB'], vmJson, archive: '' },
    };
    for (const [name, values] of Object.entries(cases)) writeFileSync(join(rendered, `here-${name}.yaml`), render(values));
    const given = process.env.MAYFLY_RENDERED;
    for (const file of given ? filesOf(given).filter(name => name.endsWith('.yaml')) : []) {
      writeFileSync(join(rendered, `worker-${relative(given, file).replaceAll('/', '-')}`), readFileSync(file));
    }
  });

  after(() => rendered && rmSync(rendered, { recursive: true }));

  /** A check in the root; its output is the message when it fails. */
  function inRoot(name, script, { silent = false, args = [] } = {}) {
    test(name, context => {
      if (missing) return context.skip(missing);
      const done = run(join(HERE, 'in-root.sh'), ['bash', '-euo', 'pipefail', '-c', script, 'check', ...args],
        { env: { ...process.env, MAYFLY_RENDERED: rendered } });
      if (/^SKIP /m.test(done.stdout)) return context.skip(done.stdout.match(/^SKIP (.*)/m)[1]);
      assert.equal(done.status, 0, `${done.stdout}\n${done.stderr}`);
      if (silent) assert.equal(done.stdout + done.stderr, '');
    });
  }

  inRoot('shellcheck finds nothing in any script', `
    cd /opt/mayfly
    mapfile -t scripts < <(grep -rlE '^#!/bin/(ba)?sh|^# shellcheck shell=' . | grep -v '\\.py$')
    [ "\${#scripts[@]}" -ge 20 ]
    shellcheck -x -P SCRIPTDIR "\${scripts[@]}"
    shellcheck -x /repo/tests/cloud-init/*.sh`, { silent: true });

  inRoot('every shell script has a main function or only functions, and stops at errors', `
    cd /opt/mayfly
    for script in entry guard start workspace/{boot,install,clone,git-credential,devcontainer,in-container,rescue,ui-control}; do
      grep -q '^main() {' "$script" && grep -qE '^(if .*then )?main "\\$@"' "$script" || { echo "$script: no main"; exit 1; }
      grep -qE '^set -(eu|euo pipefail|uo pipefail)' "$script" || { echo "$script: no set -eu"; exit 1; }
    done`, { silent: true });

  inRoot('systemd has nothing to say about the units', `
    printf '#!/bin/sh\\n' >/opt/mayfly/start
    cd /etc/systemd/system && systemd-analyze verify mayfly-*.service mayfly-*.timer`, { silent: true });

  inRoot('sudoers, cron and tmux read their files', `
    visudo -cqf /opt/mayfly/workspace/units/sudoers
    grep -qE '^\\* \\* \\* \\* \\* root ' /opt/mayfly/units/cron
    tail -c 1 /opt/mayfly/units/cron | grep -q '^$'
    [[ $(tmux -L check -f /opt/mayfly/workspace/tmux.conf start-server \\; show-options -g default-command) == *' /opt/mayfly/workspace/shell' ]]`);

  inRoot('Python compiles without a warning', `
    cd /opt/mayfly && python3 -W error -m py_compile *.py workspace/*.py`, { silent: true });

  inRoot('the kernel takes the firewall rules, with a list of visitors and without, twice', `
    mkdir -p /etc/mayfly/values
    for allow in '' '198.51.100.0/24 198.51.100.7/32 2001:db8::/32'; do
      printf %s "$allow" >/etc/mayfly/values/allow_from
      python3 /opt/mayfly/workspace/firewall.py | nft -f -
      python3 /opt/mayfly/workspace/firewall.py | nft -f -
    done
    [[ $(nft list set inet mayfly allow4) == *'elements = { 198.51.100.0/24 }'* ]]`, { silent: true });

  inRoot('the user of the clone reaches no private, link-local or metadata address and none of our ports; root reaches private ones', `
    mkdir -p /etc/mayfly/values
    python3 /opt/mayfly/workspace/firewall.py | nft -f -
    # A network whose every address answers: what is refused is refused by the rules.
    ip addr add 10.1.2.3/8 dev lo; ip addr add 169.254.169.254/32 dev lo; ip addr add 172.16.0.1/32 dev lo; ip addr add 203.0.113.9/32 dev lo
    ip -6 addr add fd00::9/128 dev lo
    python3 - <<'PY' &
import socket, time
for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    for port in (80, 443, 8443):
        listener = socket.socket(family); listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6: listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port)); listener.listen(64); globals()[f"{family}{port}"] = listener
open("/tmp/ready", "w").close()
time.sleep(60)
PY
    until [ -e /tmp/ready ]; do sleep 0.05; done
    reach() { setpriv --reuid "$1" --clear-groups python3 -c 'import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)' "$2" "$3" 2>/dev/null; }
    reach dev 203.0.113.9 8443 || { echo 'dev must reach a public address'; exit 1; }
    for address in 10.1.2.3 172.16.0.1 169.254.169.254 fd00::9; do
      if reach dev "$address" 8443; then echo "dev reached $address"; exit 1; fi
    done
    if reach dev 203.0.113.9 443; then echo 'dev reached the door from inside'; exit 1; fi
    reach root 10.1.2.3 8443 || { echo 'root must reach private addresses'; exit 1; }
    for port in 8443 80; do
      if reach root 169.254.169.254 $port; then echo 'root reached the metadata'; exit 1; fi
    done
    packets=$(nft list counter inet mayfly refused | sed -n 's/.*packets \\([0-9]*\\).*/\\1/p')
    [ "$packets" -ge 5 ] || { echo "refused: $packets"; exit 1; }
    spot() { setpriv "$@" env PYTHONPATH=/opt/mayfly:/opt/mayfly/workspace python3 -c 'import spot; spot.Marked("169.254.169.254", 80, source_address=("203.0.113.9", 0)).connect()' 2>/dev/null; }
    if spot --reuid root; then echo 'root reached the metadata with a mark'; exit 1; fi
    echo '{"provider": "ec2"}' >/etc/mayfly/vm.json
    python3 /opt/mayfly/workspace/firewall.py | nft -f -
    if reach root 169.254.169.254 80; then echo 'root reached the metadata without a mark'; exit 1; fi
    spot --reuid root || { echo 'the notice of a spot instance cannot be read'; exit 1; }
    caps=-net_admin,-net_raw
    if spot --bounding-set "$caps" --inh-caps "$caps"; then echo 'the metadata was reached without a right to the mark'; exit 1; fi
    if spot --reuid dev --clear-groups; then echo 'dev reached the metadata'; exit 1; fi`);

  inRoot('Caddy takes the Caddyfile in every shape', `
    . /opt/mayfly/workspace/versions
    case $(caddy version 2>/dev/null || :) in "v$CADDY_VERSION"*) ;; *) echo "SKIP no caddy $CADDY_VERSION here"; exit 0 ;; esac
    mkdir -p /etc/mayfly/values
    for address in 203.0.113.7 2001:db8::1; do
      for domain in '' w.example.com; do
        for args in '' '--ui 3001' --ui-is-terminal '--ui 3001 --self-signed'; do
          printf %s "$address" >/etc/mayfly/values/addresses
          printf %s "$domain" >/etc/mayfly/values/domain
          # shellcheck disable=SC2086
          python3 /opt/mayfly/workspace/caddyfile.py $args >/tmp/Caddyfile
          caddy validate --adapter caddyfile --config /tmp/Caddyfile >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
          if grep -q '"level":"warn"' /tmp/log && grep '"level":"warn"' /tmp/log | grep -v 'not formatted'; then exit 1; fi
        done
      done
    done`);

  // The command takes a second for each file: it sees one of each kind, and its own code, in one process, all of them.
  inRoot('cloud-init accepts every rendered user data', `
    for file in /rendered/here-*.yaml $(printf '%s\\n' /rendered/worker-*.yaml | shuf -n 2); do
      [ -e "$file" ] || continue
      cloud-init schema --config-file "$file" >/tmp/log 2>&1 || { echo "$file"; cat /tmp/log; exit 1; }
      if grep -iqE 'warn|deprecat' /tmp/log; then echo "$file"; cat /tmp/log; exit 1; fi
    done
    python3 - <<'PY'
import glob, io, logging, sys, yaml
from cloudinit.config.schema import get_schema, validate_cloudconfig_schema

log = io.StringIO()
logging.basicConfig(stream=log, level=logging.INFO)
schema = get_schema()
for name in sorted(glob.glob("/rendered/*.yaml")):
    validate_cloudconfig_schema(yaml.safe_load(open(name, encoding="utf-8")), schema, strict=True, log_deprecations=True)
    assert not log.getvalue(), f"{name}: {log.getvalue()}"
try:
    validate_cloudconfig_schema({"write_files": "text"}, schema, strict=True)
except Exception as error:
    assert "write_files" in str(error), error
else:
    sys.exit("the schema accepts everything")
PY`);

  inRoot('rendered user data has our keys, each once, and its values come back as they were', `
    python3 - "$@" <<'PY'
import base64, glob, json, sys, yaml

class Once(yaml.SafeLoader):
    pass

def mapping(loader, node):
    keys = [key.value for key, _ in node.value]
    assert len(keys) == len(set(keys)), f"duplicate key in {keys}"
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)

Once.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
known = set(sys.argv[1].split(","))
files = sorted(glob.glob("/rendered/*.yaml"))
assert len(files) >= 3, files
for name in files:
    text = open(name, encoding="utf-8").read()
    assert text.startswith("#cloud-config\\n"), name
    assert len(text.encode()) <= 32768, f"{name}: {len(text.encode())} bytes"
    got = yaml.load(text, Once)
    assert set(got) <= known, f"{name}: {set(got) - known}"
    assert got["ssh_pwauth"] is False and got["users"] == [], name
    files_by_path = {file["path"]: file for file in got["write_files"]}
    assert all(file["permissions"] == "0600" for file in got["write_files"]), name
    assert json.loads(files_by_path["/etc/mayfly/vm.json"]["content"])["v"] == 1, name
    base64.b64decode(files_by_path["/etc/mayfly/vm.tar.gz"]["content"], validate=True)
    assert len(got["runcmd"]) == 1 and "vm.json" not in json.dumps(got["runcmd"]), name
hostile = yaml.load(open("/rendered/here-hostile.yaml", encoding="utf-8"), Once)
assert hostile["hostname"] == "mayfly-x: [a, b] # no"
assert json.loads(hostile["write_files"][0]["content"])["branch"] == "{{ x }} 'é\\n: - &a"
PY`, { args: [KNOWN_KEYS.join(',')] });

  inRoot('what the user data runs unpacks the archive and starts the entry', `
    python3 - <<'PY'
import base64, subprocess, yaml
got = yaml.safe_load(open("/rendered/here-plain.yaml", encoding="utf-8"))
import os
os.makedirs("/etc/mayfly", exist_ok=True)
open("/etc/mayfly/vm.tar.gz", "wb").write(base64.b64decode(got["write_files"][1]["content"]))
command = got["runcmd"][0]
command[2] = command[2].replace("exec /opt/mayfly/entry", "test -s /opt/mayfly/entry && test -s /opt/mayfly/units/cron && test ! -e /opt/mayfly/workspace")
subprocess.run(command, check=True)
PY`);

  inRoot('the Python parts keep their promises', 'cd /repo/tests/cloud-init/python && python3 -m unittest -b -q');
  inRoot('the shell parts keep their promises', 'bats /repo/tests/cloud-init/bats');

  test('the files checked are the files that are packed', () => {
    for (const file of filesOf(SOURCES)) assert.ok(statSync(file).size > 0, file);
  });
});
