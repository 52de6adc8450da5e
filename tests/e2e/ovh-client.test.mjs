// OVHcloud's own client for Python against the fake cloud: what it accepts is close enough to the real API, and its signatures are
// those that the fake cloud checks ours by. It needs a Python with clients/requirements.txt installed, named by CLIENTS_PYTHON;
// `npm test` makes one. Without it the tests are skipped, and say so. What is asked is in clients/drive_ovh.py.

import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startFakeCloud } from './support/cloud.mjs';

const PYTHON = process.env.CLIENTS_PYTHON ?? 'python3';
const missing = spawnSync(PYTHON, ['-c', 'import ovh'], { stdio: 'ignore' }).status !== 0;
const skip = missing ? `${PYTHON} has no package ovh: set CLIENTS_PYTHON to one that has it` : false;

describe('the Python client of OVHcloud against the fake cloud', { skip }, () => {
  let cloud;
  let seen;

  before(async () => {
    cloud = await startFakeCloud({ guests: false, actionMs: 50 });
    const program = fileURLToPath(new URL('clients/drive_ovh.py', import.meta.url));
    const { stdout } = await promisify(execFile)(PYTHON, [program, cloud.url, cloud.token], { timeout: 120_000 });
    seen = JSON.parse(stdout);
  });

  after(() => cloud?.close());

  for (const [who, how] of [['signed', 'whose requests are signed'], ['account', 'with a token of a service account']]) {
    it(`goes through the life of an instance ${how}`, () => {
      const it = seen[who];
      assert.deepEqual(it.projects, ['0f1e2d3c4b5a69788796a5b4c3d2e1f0']);
      assert.ok(it.regions.includes('GRA11'));
      assert.equal(it.price, 5_080_000);
      assert.deepEqual(it.key, ['me', true, it.regions.length]);
      assert.deepEqual(it.key_again, ['ResourceConflictError', "Key pair 'me' already exists."]);
      assert.deepEqual(it.wrong.map((error) => error[0]), [...Array(4).fill('BadParametersError'), 'ResourceNotFoundError']);
      assert.deepEqual(it.built, ['BUILD', []]);
      assert.deepEqual(it.ready, [[4, 6], 'b3-8.consumption', 'me']);
      assert.equal(it.start[0], 'ResourceConflictError');
      assert.deepEqual(it.renamed, [255]);
      assert.equal(it.busy[0], 'ResourceConflictError');
      assert.deepEqual(it.snapshot, ['kept', 'GRA11', 'private', 50]);
      assert.deepEqual(it.gone[0], 'ResourceNotFoundError');
      assert.deepEqual(it.left, [[], [], []]);
    });
  }

  it('is refused with a wrong key, and when it may only read', () => {
    assert.ok(Math.abs(seen.time_delta) <= 1);
    const { signature, application, consumer, read_only: readOnly } = seen.refused;
    assert.deepEqual([signature[0], application[0], consumer[0]], ['BadParametersError', 'InvalidKey', 'InvalidCredential']);
    assert.deepEqual(readOnly[0], []);
    assert.equal(readOnly[1][0], 'NotGrantedCall');
  });
});
