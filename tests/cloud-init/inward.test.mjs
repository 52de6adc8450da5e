// cloud-init/workspace/inward.cjs: whatever a program in Node is told, or not told, it listens on loopback, and what it is told in
// secret is in nobody's arguments.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const INWARD = fileURLToPath(new URL('../../cloud-init/workspace/inward.cjs', import.meta.url));

/** Starts it, and resolves to what it says first; `seen` sees the process meanwhile. */
async function run(program, env = {}, seen = () => {}) {
  const child = spawn(process.execPath, ['-e', program, 'x'], { env: { ...process.env, NODE_OPTIONS: `--require=${INWARD}`, ...env }, stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    const [said] = await once(child.stdout, 'data');
    seen(child.pid);
    return JSON.parse(said.toString());
  } finally {
    child.kill();
  }
}

const listening = (call) => run(`const s = require('node:http').createServer(); s.on('listening', () => console.log(JSON.stringify(s.address()))); ${call}`);

for (const [how, call] of [
  ['a port', 's.listen(0)'],
  ['a port as text', "s.listen('0')"],
  ['a port and what to do then', 's.listen(0, () => {})'],
  ['a port and no host', 's.listen(0, undefined, () => {})'],
  ['every address', "s.listen(0, '0.0.0.0')"],
  ['every address of IPv6', "s.listen(0, '::', 5, () => {})"],
  ['a port and a backlog', 's.listen(0, 5)'],
  ['options', 's.listen({ port: 0 })'],
  ['options with every address', "s.listen({ port: 0, host: '0.0.0.0' }, () => {})"],
]) {
  test(`told ${how}, it listens on loopback`, async () => assert.equal((await listening(call)).address, '127.0.0.1'));
}

test('what is on loopback, or on a socket of its own, stays where it is', async () => {
  assert.equal((await listening("s.listen(0, '127.0.0.2')")).address, '127.0.0.2');
  const path = `/tmp/mayfly-inward-${process.pid}.sock`;
  assert.equal(await listening(`s.listen('${path}')`), path);
});

test('what to do when it listens is done', async () => {
  const said = await run("require('node:net').createServer().listen(0, () => console.log('true'))");
  assert.equal(said, true);
});

test('secret arguments are its own, and not its children’s or its command line’s', { skip: process.platform !== 'linux' && 'it takes /proc' }, async () => {
  const program = "console.log(JSON.stringify([process.argv.slice(2), process.env.MAYFLY_ARGUMENTS ?? null])); process.stdin.resume()";
  const said = await run(program, { MAYFLY_ARGUMENTS: '--token abc-secret' }, (pid) => {
    assert.ok(!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('abc-secret'));
  });
  assert.deepEqual(said, [['--token', 'abc-secret'], null]);
});

test('a secret that it would give a child as an argument reaches it in another way', { skip: process.platform !== 'linux' && 'it takes /proc' }, async () => {
  const child = "const line = require('node:fs').readFileSync('/proc/self/cmdline', 'utf8'); console.log(JSON.stringify([process.argv.slice(2), line.includes('hu' + 'sh'), process.env.OWN]))";
  const program = `
    import('node:child_process').then(({ spawn }) => spawn(process.execPath,
      ['-e', ${JSON.stringify(child)}, 'x', '--port', '7', '--session-api-key', 'hush', '--more'], { stdio: 'inherit', env: { ...process.env, OWN: '1' } }));
    process.stdin.resume();`;
  assert.deepEqual(await run(program), [['--port', '7', '--more', '--session-api-key', 'hush'], false, '1']);
});
