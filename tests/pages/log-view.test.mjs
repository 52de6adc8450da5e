// Which log a row shows, and what stands there when there is none.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { logSource, logText } from '../../pages/log-view.js';

test('the log is that of the phase that goes on, or that failed', () => {
  const source = (vm) => logSource({ boot: null, ...vm });
  assert.deepEqual(['booting', 'docker', 'clone', 'devcontainer', 'ui'].map((phase) => source({ phase })), ['boot', 'boot', 'boot', 'build', 'boot']);
  assert.equal(source({ phase: 'failed', boot: { phases: [], reason: { phase: 'devcontainer', code: 'timeout' } } }), 'build');
  assert.equal(source({ phase: 'failed', boot: { phases: [], reason: null } }), 'boot');
  assert.equal(source({ phase: 'failed' }), 'boot');
});

test('colours and marks that deceive are taken out, lines stay', () => {
  const tail = 'one\u001b[31m red\u001b[0m\r\n<b>two</b> \u202etxt\u001b[2K\n\n';
  assert.deepEqual(logText({ ok: true, status: 200, data: { tail } }), { tail: 'one red\n<b>two</b> \ufffdtxt', note: '' });
  assert.deepEqual(logText({ ok: true, status: 200, data: {} }), { tail: '', note: '' });
});

test('where there is none it is said why', () => {
  const note = (code, detail = '') => logText({ ok: false, problem: { status: 404, code, detail } }).note;
  assert.match(note('log_not_kept'), /on the VM/);
  assert.match(note('log_not_found'), /not sent anything yet/);
  assert.equal(note('bucket_failed', 'The bucket did not do it.'), 'No log: The bucket did not do it.');
});
