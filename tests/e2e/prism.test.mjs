/**
 * The Worker and the fake cloud, held against the vendors' official OpenAPI documents by a tool that we did not write: Prism
 * stands between them and objects to every request and every answer that the document does not allow. Skipped, with a
 * notice, where a document is missing: they are not ours to ship.
 */

import assert from 'node:assert/strict';
import { parse } from '@stoplight/yaml';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
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

/**
 * Scaleway's recorded answers hold null where its document has a type alone, and 202 for actions where it says 200; of
 * refusals it says nothing at all.
 */
function mendScaleway(text) {
  const document = parse(text);
  const methods = (path) => Object.values(path).filter((it) => it?.responses);
  for (const [path, item] of Object.entries(document.paths)) {
    for (const method of methods(item)) {
      if (path.endsWith('/action')) method.responses = { ...method.responses, 202: method.responses[200] };
      allowNull(method.responses);
      const required = ['type', 'message', 'resource', 'resource_id'];
      method.responses[404] = { description: 'gone', content: { 'application/json': { schema: { type: 'object', required } } } };
    }
  }
  const used = new Set();
  for (const match of JSON.stringify(Object.values(document.paths).flatMap(methods).map((it) => it.responses)).matchAll(SCHEMA)) used.add(match[1]);
  for (const name of used) {
    const schema = document.components.schemas[name];
    for (const match of JSON.stringify(schema).matchAll(SCHEMA)) used.add(match[1]);
    allowNull(schema);
  }
  return JSON.stringify(document);
}

const SCHEMA = /#\/components\/schemas\/([^"]+)"/g;

/** Every type below here may be null, too. */
function allowNull(node) {
  if (Array.isArray(node)) return node.forEach(allowNull);
  if (node === null || typeof node !== 'object') return undefined;
  if (typeof node.type === 'string') {
    node.type = [node.type, 'null'];
    if (Array.isArray(node.enum)) node.enum = [...node.enum, null];
  }
  return Object.values(node).forEach(allowNull);
}

/** Sends what Prism has a document for to Prism, and the rest straight to the fake. */
async function startSplitter(isFor, prism, cloud) {
  const server = createServer((incoming, outgoing) => {
    const target = new URL((isFor(incoming.url) ? prism : cloud) + incoming.url);
    const onward = request(target, { method: incoming.method, headers: { ...incoming.headers, host: target.host } }, (answer) => {
      outgoing.writeHead(answer.statusCode, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on('error', () => outgoing.destroy());
    incoming.pipe(onward);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

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
    provider: 'scaleway',
    title: 'Scaleway’s',
    variable: 'SCALEWAY_OPENAPI',
    file: 'scaleway-instance.openapi.yml',
    mend: mendScaleway,
    upstream: (cloud) => `${cloud.url}/scaleway`,
    // Marketplace and Block Storage are in other documents.
    covers: (path) => path.startsWith('/instance/'),
    vars: (prism) => ({ SCALEWAY_API_URL: prism }),
    location: 'nl-ams-1',
    wrong: { path: '/instance/v1/zones/fr-par-1/servers', body: { name: 'x', commercial_type: 'DEV1-S', tags: 'web' } },
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
  {
    provider: 'ovh',
    title: 'OVHcloud’s',
    variable: 'OVH_OPENAPI',
    file: 'ovh-cloud.openapi.json',
    upstream: (cloud) => `${cloud.url}/ovh/v1`,
    // The price list is in another document.
    covers: (path) => path.startsWith('/cloud/'),
    // Signatures are over the address, which Prism changes: a service account's token goes through.
    vars: (prism, cloud) => ({
      OVH_API_URL: prism,
      OVH_APPLICATION_KEY: undefined,
      OVH_APPLICATION_SECRET: undefined,
      OVH_CONSUMER_KEY: undefined,
      OVH_CLIENT_ID: 'fake-client',
      OVH_CLIENT_SECRET: cloud.token,
      OVH_TOKEN_URL: `${cloud.url}/ovh/oauth2/token`,
    }),
    location: 'sbg5',
    wrong: { path: '/cloud/project/0f1e2d3c4b5a69788796a5b4c3d2e1f0/instance', body: { name: 'x', region: 'GRA11', flavorId: 'x', tags: [] } },
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
    let splitter;

    before(async () => {
      cloud = await startFakeCloud({ bootSeconds: 1, actionMs: 50 });
      scratch = await mkdtemp(join(tmpdir(), 'prism-test-'));
      const spec = join(scratch, 'openapi.json');
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
      splitter = it.covers && (await startSplitter(it.covers, url, it.upstream(cloud)));
      const api = splitter?.url ?? url;
      worker = await startWorker({ vars: { ...cloud.varsOf([it.provider]), ...it.vars(api, cloud), PUBLIC_URL: undefined } });
    });
    after(async () => {
      await worker?.close();
      splitter?.close();
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
