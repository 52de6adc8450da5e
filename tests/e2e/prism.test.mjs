/**
 * The Worker and the fake cloud, held against Hetzner's official OpenAPI document by a tool that we did not write: Prism
 * stands between them and objects to every request and every answer that the document does not allow. Skipped, with a
 * notice, where the document is missing: it is not ours to ship.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startFakeCloud } from './support/cloud.mjs';
import { freePort } from './support/ports.mjs';
import { until } from './support/until.mjs';
import { startWorker } from './support/worker.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SPEC = process.env.HETZNER_OPENAPI ?? resolve(ROOT, '../shared/specs/hetzner.openapi.json');
const skip = existsSync(SPEC) ? false : 'Hetzner’s OpenAPI document is not here (HETZNER_OPENAPI names it)';
const REPO = 'https://github.com/octocat/Hello-World';

let cloud;
let prism;
let worker;
const violations = [];

before(async () => {
  if (skip) return;
  cloud = await startFakeCloud({ bootSeconds: 1, actionMs: 50 });
  const port = await freePort();
  prism = spawn(process.execPath, [
    resolve(ROOT, 'node_modules/@stoplight/prism-cli/dist/index.js'), 'proxy', '--errors', '--port', String(port), SPEC, cloud.apiUrl,
  ], { stdio: ['ignore', 'pipe', 'pipe'] });
  let printed = '';
  for (const stream of [prism.stdout, prism.stderr]) {
    stream.on('data', (chunk) => {
      printed += chunk;
      for (const line of String(chunk).split('\n')) if (/violation/i.test(line)) violations.push(line.trim());
    });
  }
  await until('Prism listens', () => /Prism is listening/.test(printed));
  const vars = { ...cloud.vars, HETZNER_API_URL: `http://127.0.0.1:${port}` };
  worker = await startWorker({ vars: { ...vars, PUBLIC_URL: undefined } });
});
after(async () => {
  await worker?.close();
  prism?.kill();
  await cloud?.close();
});

test('the whole life of VMs passes Prism without a violation', { skip }, async () => {
  const options = await worker.api('GET', '/options');
  assert.deepEqual([options.status, options.body.errors], [200, []], JSON.stringify(options.body.errors));

  const bodies = [
    { repo_url: REPO },
    { repo_url: `${REPO}/`, branch: 'main', name: 'my-box', size: 'large', image: 'ubuntu-24.04', location: 'nbg1',
      ssh_public_key: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDHGQOpuSOTyTBhrt98fEqsIRGKjt4ygN4lzdhaO4OJn', git_token: 'x' },
  ];
  const ids = [];
  for (const body of bodies) {
    const created = await worker.api('POST', '/vms', body, { headers: { 'idempotency-key': `prism-${ids.length}` } });
    assert.equal(created.status, 201, JSON.stringify(created.body));
    assert.deepEqual(created.body.warnings, []);
    ids.push(created.body.vm.id);
  }
  for (const id of ids) {
    await until(`${id} is ready`, async () => (await worker.api('GET', `/vms/${id}`)).body.vm.services_ready);
  }
  const listed = await worker.api('GET', '/vms');
  assert.deepEqual(listed.body.vms.map((it) => it.id).sort(), [...ids].sort());
  assert.deepEqual(listed.body.errors, []);

  // One is deleted by its owner, the other deletes itself.
  assert.equal((await worker.api('DELETE', `/vms/${ids[0]}`)).status, 200);
  await cloud.guest(ids[1].replace('hetzner-', ''), { idle: true });
  await until('both are gone', async () => (await cloud.state()).servers.length === 0);
  const report = await worker.api('POST', '/reap');
  assert.deepEqual(report.body.failed, []);
  assert.equal((await worker.api('GET', `/vms/${ids[0]}`)).status, 404);
  assert.deepEqual(violations, []);
});

test('Prism does object to what the document does not allow', { skip }, async () => {
  const direct = await fetch(`http://127.0.0.1:${prism.spawnargs.at(prism.spawnargs.indexOf('--port') + 1)}/servers`, {
    method: 'POST',
    headers: { authorization: `Bearer ${cloud.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'x', server_type: 'cx23', image: 'debian-13', firewalls: [38] }),
  });
  assert.equal(direct.status, 422);
  assert.match(await direct.text(), /UNPROCESSABLE_ENTITY|violation/i);
});
