// EC2 against moto, which checks signatures and permissions and keeps a state; what is there afterwards is told by AWS's own
// client, boto3. Everything that a person or a VM does goes through the Worker's API in the real runtime; the test plays the VM.
// The same module built natively (tests/drive) tells refusals by their codes.
//
// It needs Python with moto and boto3 (MOTO_PYTHON; `npm test` sets it up) and the driver (DRIVE_BIN, built by `npm test`);
// without moto it is skipped, and says so. moto 5.2 differs from AWS in that
// - it ignores ClientToken: a repeated creation makes two instances;
// - it takes user data of any length, and starts instances of any type anywhere;
// - it stops one-time spot instances, and has no prices of instances and one price for every spot instance;
// - it has no images but Amazon's (aws.py adds Debian's and Ubuntu's) and no tags for snapshots in CreateImage (added, too);
// - it deletes a security group that is in use, and says AccessDenied where EC2 says UnauthorizedOperation;
// - what is created is known at once, a snapshot is complete at once, and no guest runs: nothing shuts down by itself.
// These are covered by the contract suite's recorded answers alone.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { startAws, whyNoMoto } from './support/aws.mjs';
import { API_TOKEN, startWorker } from './support/worker.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const DRIVE = process.env.DRIVE_BIN ?? resolve(ROOT, process.env.CARGO_TARGET_DIR ?? 'target', 'debug/examples/drive');
const [HERE, THERE] = ['eu-central-1', 'us-east-1'];
const REPO = 'https://github.com/octocat/Hello-World';
const SIGNING_KEY = 'test:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE';

/** What a driver's operation answers: {ok} or {error, detail}. */
async function drive(vars, ...args) {
  const env = { PATH: process.env.PATH, API_TOKEN, SIGNING_KEY, ...vars };
  const { stdout } = await promisify(execFile)(DRIVE, ['ec2', ...args], { env, timeout: 60_000 });
  return JSON.parse(stdout);
}

/** The file that a user data puts on the VM. */
function vmFile(userData) {
  const line = userData.split('\n').find((it) => it.includes('"{\\"v\\":1'));
  return JSON.parse(JSON.parse(line.slice(line.indexOf('"'))));
}

describe('EC2 against moto', { skip: whyNoMoto() }, () => {
  let aws;
  let worker;
  let vars;
  const create = (body) => worker.api('POST', '/vms', { repo_url: REPO, ...body });
  const idsOf = async () => (await worker.api('GET', '/vms')).body.vms.map((vm) => vm.id).sort();
  const instance = async (region, id) => (await aws.state(region)).instances.find((it) => it.id === id);
  const native = (id) => id.slice('ec2-'.length);
  const idIn = (id, region) => id.slice(`ec2-${region}-`.length);

  before(async () => {
    aws = await startAws();
    vars = aws.vars(`${HERE},${THERE}`);
    worker = await startWorker({ vars });
  });

  after(async () => {
    await worker?.close();
    await aws?.close();
  });

  it('knows a wrong key and one that may do nothing', async () => {
    const wrong = { ...vars, AWS_SECRET_ACCESS_KEY: `${vars.AWS_SECRET_ACCESS_KEY}x` };
    assert.equal((await drive(wrong, 'snapshots')).error, 'provider_unauthorized');
    const unknown = { ...vars, AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE' };
    assert.equal((await drive(unknown, 'snapshots')).error, 'provider_unauthorized');
    const powerless = await drive(aws.powerlessVars(HERE), 'snapshots');
    assert.equal(powerless.error, 'provider_token_readonly');
    assert.match(powerless.detail, /may not do this \(AccessDenied\)/);
    assert.deepEqual(await drive(vars, 'snapshots'), { ok: [] });
  });

  it('offers every size in each region, live', async () => {
    const { body } = await worker.api('GET', '/options');
    assert.deepEqual(body.errors, []);
    const [ec2] = body.providers;
    assert.deepEqual([ec2.name, ec2.currency, ec2.calls_per_list, ec2.markets], ['ec2', 'USD', 2, ['on-demand', 'spot']]);
    assert.deepEqual(ec2.locations.map((it) => it.city), ['Frankfurt', 'Northern Virginia']);
    assert.deepEqual(ec2.sizes.map((it) => it.size), ['small', 'medium', 'large']);
    for (const size of ec2.sizes) {
      assert.ok(new Set(size.offers.map((it) => it.location)).size >= 1 && size.offers.length > 1, size.size);
      assert.equal(size.price_per_hour, null, 'moto has no price list');
    }
  });

  it('creates, lists, takes reports, stops, starts, keeps and deletes a VM', async () => {
    const foreign = await aws.foreign(HERE);
    const key = { headers: { 'idempotency-key': 'one-click' } };
    const body = { repo_url: REPO, location: HERE, size: 'medium', git_token: 'secret-given-token' };
    const created = await worker.api('POST', '/vms', body, key);
    assert.equal(created.status, 201, JSON.stringify(created.body));
    const { vm } = created.body;
    const id = idIn(vm.id, HERE);
    assert.deepEqual([vm.provider, vm.location, vm.state, vm.size, vm.cost], ['ec2', HERE, 'running', 'medium', null]);

    // What boto3 sees of it.
    const state = await aws.state(HERE);
    const seen = state.instances.find((it) => it.id === id);
    assert.deepEqual([seen.state, seen.type, seen.lifecycle, seen.shutdown], ['running', vm.server_type, null, 'terminate']);
    assert.deepEqual([seen.image, seen.address], ['ami-00000000000000002', vm.ipv4], 'the newest Debian 13');
    assert.deepEqual([seen.metadata.HttpTokens, seen.metadata.HttpPutResponseHopLimit], ['required', 1]);
    assert.deepEqual([seen.tags.Name, seen.tags['managed-by'], seen.tags['mayfly-owner']], [vm.name, 'mayfly', 'default']);
    assert.deepEqual(seen.disks.map((it) => it.DeleteOnTermination), [true]);
    const volume = state.volumes.find((it) => it.id === seen.disks[0].VolumeId);
    assert.deepEqual([volume.size, volume.type], [40, 'gp3']);
    assert.equal(volume.tags['mayfly-vm'], seen.tags['mayfly-vm']);
    const [group] = state.groups;
    assert.deepEqual([state.groups.length, group.name, seen.groups], [1, 'mayfly-mayfly', [group.id]]);
    assert.deepEqual(group.ports, [22, 80, 443].map((port) => [port, '0.0.0.0/0']));

    // What the guest gets: the user data is compressed, and fits.
    const packed = await aws.userData(HERE, id);
    assert.ok(packed.length <= 16_384, `${packed.length} bytes`);
    const userData = gunzipSync(packed).toString();
    assert.match(userData, /^#cloud-config\n/);
    assert.doesNotMatch(userData, /secret-given-token/);
    const file = vmFile(userData);
    assert.deepEqual([file.provider, file.location, file.self_delete, file.vm], ['ec2', HERE, 'shutdown', seen.tags['mayfly-vm']]);
    const dry = await worker.api('POST', '/user-data', body);
    assert.ok(Math.abs(dry.body.bytes - packed.length) < 200, `${dry.body.bytes} were told`);

    // Lists and repeated requests: one VM, and nobody else's.
    assert.deepEqual(await idsOf(), [vm.id]);
    assert.notEqual(foreign.id, id);
    const again = await worker.api('POST', '/vms', body, key);
    assert.deepEqual([again.status, again.headers.get('idempotent-replayed'), again.body.vm.id], [200, 'true', vm.id]);
    assert.equal((await worker.api('GET', `/vms/ec2-${HERE}-${foreign.id}`)).status, 404);
    assert.equal((await worker.api('DELETE', `/vms/ec2-${HERE}-${foreign.id}`)).status, 404);

    // What the VM reports is in its tags; others stay.
    const progress = { phase: 'clone', seconds: { docker: 12 } };
    const reported = await worker.api('POST', '/vm/progress', progress, { token: file.capability });
    assert.equal(reported.status, 200, JSON.stringify(reported.body));
    const labelled = await instance(HERE, id);
    assert.deepEqual([labelled.tags['mayfly-phase'], labelled.tags['mayfly-timing']], ['clone', 'd12']);
    const { 'mayfly-phase': _phase, 'mayfly-timing': _timing, 'mayfly-seen': heard, ...rest } = labelled.tags;
    assert.ok(Math.abs(Number(heard) - Date.now() / 1000) < 60, heard);
    assert.deepEqual({ ...rest, 'mayfly-phase': 'booting' }, seen.tags);
    assert.deepEqual(await drive(vars, 'relabel', native(vm.id), 'mayfly-want=stop', 'mayfly-phase=ready'), { ok: true });
    assert.deepEqual(await drive(vars, 'relabel', native(vm.id), 'mayfly-want='), { ok: true });
    const relabelled = await instance(HERE, id);
    assert.deepEqual([relabelled.tags['mayfly-phase'], relabelled.tags['mayfly-want']], ['ready', undefined]);

    // Stop and start: the VM says itself that its work is saved.
    const got = async () => (await worker.api('GET', `/vms/${vm.id}`)).body.vm;
    const stop = await worker.api('POST', `/vms/${vm.id}/stop`);
    assert.deepEqual([stop.status, stop.body.vm.want], [202, 'stop'], JSON.stringify(stop.body));
    assert.equal((await instance(HERE, id)).state, 'running', 'it is asked first');
    const saved = await worker.api('POST', '/vm/progress', { phase: 'stopping', seconds: {} }, { token: file.capability });
    assert.equal(saved.status, 200, JSON.stringify(saved.body));
    assert.deepEqual([(await instance(HERE, id)).state, (await got()).state], ['stopped', 'stopped']);
    const start = await worker.api('POST', `/vms/${vm.id}/start`);
    assert.deepEqual([start.status, start.body.vm.phase], [202, 'booting'], JSON.stringify(start.body));
    assert.deepEqual([(await instance(HERE, id)).state, (await got()).state], ['running', 'running']);
    assert.equal((await got()).created_at, vm.created_at, 'a restart makes it no younger');

    // A snapshot, which outlives the VM, and another VM from it. One that boots cannot be asked: it is taken at once.
    const taken = await worker.api('POST', `/vms/${vm.id}/snapshots`, { description: 'before the upgrade' });
    assert.equal(taken.status, 202, JSON.stringify(taken.body));
    const { body: { snapshots: [kept, ...others] } } = await worker.api('GET', '/snapshots');
    assert.deepEqual([kept.id, kept.description, kept.is_ready, others.length], [taken.body.snapshot.id, 'before the upgrade', true, 0]);
    assert.deepEqual([kept.owner, kept.repo_url, kept.locations], ['default', REPO, [HERE]]);
    const withSnapshot = await aws.state(HERE);
    assert.deepEqual(withSnapshot.images.map((it) => `ec2-${HERE}-${it.id}`), [kept.id]);
    assert.equal(withSnapshot.images[0].tags['mayfly-vm'], seen.tags['mayfly-vm']);
    assert.deepEqual(withSnapshot.snapshots.map((it) => it.tags), [withSnapshot.images[0].tags]);
    const second = await create({ snapshot_id: kept.id });
    assert.equal(second.status, 201, JSON.stringify(second.body));
    const itsId = idIn(second.body.vm.id, HERE);
    assert.equal(`ec2-${HERE}-${(await instance(HERE, itsId)).image}`, kept.id);
    assert.equal((await worker.api('POST', `/vms/${second.body.vm.id}/stop`)).status, 202);
    assert.equal((await instance(HERE, itsId)).state, 'stopped');
    assert.equal((await worker.api('DELETE', `/vms/${second.body.vm.id}`)).status, 200);
    assert.equal((await instance(HERE, itsId)).state, 'terminated');

    // The end.
    const deleted = await worker.api('DELETE', `/vms/${vm.id}`);
    assert.deepEqual([deleted.status, deleted.body.already_gone], [200, false]);
    const after = await aws.state(HERE);
    assert.equal(after.instances.find((it) => it.id === id).state, 'terminated');
    assert.equal(after.instances.find((it) => it.id === foreign.id).state, 'running');
    assert.equal(after.volumes.some((it) => it.id === volume.id), false);
    assert.deepEqual(await idsOf(), [], 'AWS goes on showing it, we do not');
    assert.equal((await worker.api('GET', `/vms/${vm.id}`)).status, 404);
    assert.equal((await worker.api('DELETE', `/vms/${vm.id}`)).body.already_gone, true);
    assert.deepEqual(await drive(vars, 'stop', `${HERE}-i-0123456789abcdef0`), { ok: false });
    for (const isGone of [false, true]) {
      const { status, body } = await worker.api('DELETE', `/snapshots/${kept.id}`);
      assert.deepEqual([status, body.already_gone], [200, isGone]);
    }
    const empty = await aws.state(HERE);
    assert.deepEqual([empty.images, empty.snapshots], [[], []]);

    // The group goes when nobody uses it.
    const reaped = await worker.api('POST', '/reap');
    assert.deepEqual(reaped.body.reaped.map((it) => [it.kind, it.id]), [['security_group', `${HERE}-${group.id}`]]);
    assert.deepEqual((await aws.state(HERE)).groups, []);
  });

  it('keeps the regions apart, and lists them together', async () => {
    const one = await create({ location: HERE, image: 'ubuntu-24.04' });
    const other = await create({ location: THERE, size: 'small' });
    assert.deepEqual([one.status, other.status], [201, 201]);
    assert.deepEqual(await idsOf(), [one.body.vm.id, other.body.vm.id].sort());
    const there = await instance(THERE, idIn(other.body.vm.id, THERE));
    assert.deepEqual([there.state, there.tags.Name], ['running', other.body.vm.name]);
    assert.equal((await instance(HERE, idIn(one.body.vm.id, HERE))).image, 'ami-00000000000000004');
    for (const { body } of [one, other]) assert.equal((await worker.api('DELETE', `/vms/${body.vm.id}`)).status, 200);
    assert.deepEqual(await idsOf(), []);
  });

  it('rents a spot instance and shows what it costs', async () => {
    const { status, body } = await create({ location: HERE, market: 'spot' });
    assert.equal(status, 201, JSON.stringify(body));
    const seen = await instance(HERE, idIn(body.vm.id, HERE));
    assert.equal(seen.lifecycle, 'spot');
    assert.equal(seen.tags['mayfly-price'], `${Math.round(body.vm.cost.per_hour * 1e6)}.USD`);
    assert.ok(body.vm.cost.per_hour > 0);
    assert.equal((await worker.api('DELETE', `/vms/${body.vm.id}`)).status, 200);
  });
});
