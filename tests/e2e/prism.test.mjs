/**
 * The Worker and the fake cloud, held against the vendors' official OpenAPI documents by a tool that we did not write: Prism
 * stands between them and objects to every request and every answer that the document does not allow. Skipped, with a
 * notice, where a document is missing: they are not ours to ship.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startFakeCloud } from './support/cloud.mjs';
import { freePort } from './support/ports.mjs';
import { until } from './support/until.mjs';
import { VENDORS } from './support/vendors.mjs';
import { startWorker } from './support/worker.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const REPO = 'https://github.com/octocat/Hello-World';
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDHGQOpuSOTyTBhrt98fEqsIRGKjt4ygN4lzdhaO4OJn';

const SUBJECTS = [
  {
    provider: 'hetzner',
    title: 'Hetzner’s',
    variable: 'HETZNER_OPENAPI',
    file: 'hetzner.openapi.json',
    upstream: (cloud) => cloud.apiUrl,
    vars: (prism) => ({ HETZNER_API_URL: prism }),
    location: 'nbg1',
    wrong: { path: '/servers', body: { name: 'x', server_type: 'cx23', image: 'debian-13', firewalls: [38] } },
  },
  {
    provider: 'digitalocean',
    title: 'DigitalOcean’s',
    variable: 'DIGITALOCEAN_OPENAPI',
    file: 'digitalocean.openapi.json',
    // YAML's `off` became a boolean on its way into the document.
    mend: (text) => text.replace(/("enum": ?\[\s*"new",\s*"active",\s*)false/g, '$1"off"'),
    upstream: (cloud) => `${cloud.url}/digitalocean`,
    vars: (prism) => ({ DIGITALOCEAN_API_URL: `${prism}/v2` }),
    location: 'nyc3',
    wrong: { path: '/v2/droplets', body: { name: 'x', size: 's-1vcpu-1gb', image: 'debian-13-x64', tags: 'web' } },
  },
];

for (const it of SUBJECTS) {
  const document = process.env[it.variable] ?? resolve(ROOT, '../shared/specs', it.file);
  const skip = existsSync(document) ? false : `${it.title} OpenAPI document is not here (${it.variable} names it)`;

  describe(it.provider, { skip }, () => {
    const violations = [];
    let cloud;
    let prism;
    let url;
    let worker;
    let scratch;

    before(async () => {
      cloud = await startFakeCloud({ bootSeconds: 1, actionMs: 50 });
      scratch = await mkdtemp(join(tmpdir(), 'prism-test-'));
      const spec = join(scratch, it.file);
      const text = await readFile(document, 'utf8');
      await writeFile(spec, it.mend?.(text) ?? text);
      const port = await freePort();
      url = `http://127.0.0.1:${port}`;
      prism = spawn(process.execPath, [
        resolve(ROOT, 'node_modules/@stoplight/prism-cli/dist/index.js'), 'proxy', '--errors', '--port', String(port), spec, it.upstream(cloud),
      ], { stdio: ['ignore', 'pipe', 'pipe'] });
      let printed = '';
      for (const stream of [prism.stdout, prism.stderr]) {
        stream.on('data', (chunk) => {
          printed += chunk;
          for (const line of String(chunk).split('\n')) if (/violation/i.test(line)) violations.push(line.trim());
        });
      }
      await until('Prism listens', () => /Prism is listening/.test(printed));
      worker = await startWorker({ vars: { ...cloud.varsOf([it.provider]), ...it.vars(url), PUBLIC_URL: undefined } });
    });
    after(async () => {
      await worker?.close();
      prism?.kill();
      await cloud?.close();
      if (scratch) await rm(scratch, { recursive: true, force: true });
    });

    test('the whole life of VMs passes Prism without a violation', async () => {
      const options = await worker.api('GET', '/options');
      assert.deepEqual([options.status, options.body.errors], [200, []], JSON.stringify([options.body.errors, violations]));

      const bodies = [
        { repo_url: REPO },
        { repo_url: `${REPO}/`, branch: 'main', name: 'my-box', size: 'large', image: 'ubuntu-24.04', location: it.location,
          ssh_public_key: KEY, git_token: 'x' },
      ];
      const ids = [];
      for (const body of bodies) {
        const created = await worker.api('POST', '/vms', body, { headers: { 'idempotency-key': `prism-${ids.length}` } });
        assert.equal(created.status, 201, JSON.stringify([created.body, violations]));
        assert.deepEqual(created.body.warnings, []);
        ids.push(created.body.vm.id);
      }
      for (const id of ids) {
        await until(`${id} is ready`, async () => (await worker.api('GET', `/vms/${id}`)).body.vm.services_ready);
      }
      const listed = await worker.api('GET', '/vms');
      assert.deepEqual(listed.body.vms.map((vm) => vm.id).sort(), [...ids].sort());
      assert.deepEqual(listed.body.errors, []);

      // One is deleted by its owner, the other deletes itself.
      assert.equal((await worker.api('DELETE', `/vms/${ids[0]}`)).status, 200);
      const other = VENDORS[it.provider].servers(await cloud.state()).find((server) => ids[1].endsWith(String(server.id)));
      await cloud.guest(other.id, { idle: true });
      await until('both are gone', async () => VENDORS[it.provider].servers(await cloud.state()).length === 0);
      const report = await worker.api('POST', '/reap');
      assert.deepEqual(report.body.failed, []);
      assert.equal((await worker.api('GET', `/vms/${ids[0]}`)).status, 404);
      assert.deepEqual(violations, []);
    });

    test('Prism does object to what the document does not allow', async () => {
      const direct = await fetch(`${url}${it.wrong.path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${cloud.token}`, 'x-auth-token': cloud.token, 'content-type': 'application/json' },
        body: JSON.stringify(it.wrong.body),
      });
      assert.equal(direct.status, 422);
      assert.match(await direct.text(), /UNPROCESSABLE_ENTITY|violation/i);
    });
  });
}
