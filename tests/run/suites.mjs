// The suites of `npm test`: what each runs and how its numbers are read, always from what the tool writes for machines.
// Each resolves to {passed, failed, skipped}. Which of them run, and the sum, is test.mjs's business.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { buildTools, buildWorker, cacheDir, root, run, say, targetDir, toolEnv } from './prepare.mjs';
import { SIMULATED } from './fake-providers.mjs';
import { has, needChromium, needClaude, needClients, needHcloud, needMoto, needRestic } from './tools.mjs';

/** Free Workers may have 3 MB; we allow ourselves a third of it. */
const GZIP_LIMIT_KIB = 1024;
/** End-to-end tests that cannot do without a browser: a suite of their own, which needs nobody's clients. */
const BROWSER_FILES = /^tests\/e2e\/(page|story)/;

const RUST = ['--workspace', '--locked'];

export const SUITES = [
  { name: 'fmt', run: () => check('cargo', ['fmt', '--all', '--check']) },
  { name: 'pages', files: filesOf('tests/pages'), run: nodeTests },
  { name: 'clippy', run: () => check('cargo', ['clippy', ...RUST, '--all-targets', '--', '-D', 'warnings']) },
  { name: 'rust', run: () => rustTests(RUST) },
  {
    name: 'doc',
    run: () => check('cargo', ['doc', ...RUST, '--no-deps', '--document-private-items'], { RUSTDOCFLAGS: '-D warnings' }),
  },
  { name: 'size', needs: [worker], run: size },
  { name: 'cloud-init', files: filesOf('tests/cloud-init'), run: cloudInitTests },
  { name: 'run', files: filesOf('tests/run'), needs: [worker, fakeCloud], run: nodeTests },
  {
    name: 'e2e',
    files: filesOf('tests/e2e').filter((it) => !BROWSER_FILES.test(it)),
    needs: [worker, fakeCloud, driver, needHcloud, needClients, needMoto, needClaude],
    run: sideBySide,
  },
  {
    name: 'page',
    // From the end: the longest are there, and would be alone at last.
    files: filesOf('tests/e2e').filter((it) => BROWSER_FILES.test(it)).reverse(),
    needs: [worker, fakeCloud],
    run: browserTests,
  },
  { name: 'backup', files: filesOf('tests/backup'), needs: [worker, fakeCloud, needRestic, needMoto], run: nodeTests },
  { name: 'stand-ins', files: filesOf('tests/vm/stand-ins'), run: nodeTests },
  { name: 'vm', needs: [worker, fakeCloud], run: bootOnce },
];

/** What is promised of these providers, twice: natively, and in workerd before the fake cloud or moto. */
export function contractSuites(providers) {
  const filters = providers.map((it) => `${it}::`);
  const faked = providers.filter((it) => !SIMULATED.includes(it));
  const cases = () => {
    process.env.CONTRACT_PROVIDERS = faked.join(',');
    return nodeTests(['tests/e2e/contract.test.mjs']);
  };
  const suites = [{ name: 'contract', run: () => rustTests(['--locked', '--test', 'contract'], filters) }];
  if (faked.length > 0) suites.push({ name: 'contract in workerd', needs: [worker, fakeCloud], run: cases });
  if (providers.includes('ec2')) {
    suites.push({ name: 'EC2 in workerd', needs: [worker, driver, needMoto], run: () => nodeTests(['tests/e2e/ec2-moto.test.mjs']) });
  }
  return suites;
}

/** Random histories, natively by the hundred and in workerd by the handful. */
export function modelSuites() {
  return [
    { name: 'model', run: () => rustTests(['--locked', '--test', 'model']) },
    { name: 'model in workerd', needs: [worker, fakeCloud], run: () => nodeTests(['tests/e2e/model.test.mjs']) },
  ];
}

function filesOf(dir) {
  if (!existsSync(join(root, dir))) return [];
  return readdirSync(join(root, dir)).filter((it) => it.endsWith('.test.mjs')).sort().map((it) => `${dir}/${it}`);
}

async function worker() {
  await buildTools('mayfly-xtask', 'mayfly-fake-cloud');
  await buildWorker();
}

/** Built together with the Worker's tool, in one go. */
async function fakeCloud() {
  process.env.FAKE_CLOUD_BIN ??= join(targetDir, 'debug/fake-cloud');
}

/** The providers' modules for this machine (tests/drive). */
async function driver() {
  const args = ['build', '--quiet', '--locked', '--example', 'drive'];
  if ((await run('cargo', args, { env: toolEnv() })) !== 0) throw new Error('tests/drive could not be built; the reason is above');
  process.env.DRIVE_BIN ??= join(targetDir, 'debug/examples/drive');
}

const counted = (isOk) => ({ passed: isOk ? 1 : 0, failed: isOk ? 0 : 1, skipped: 0 });

/** A command that counts as one test. */
async function check(command, args, env = {}) {
  return counted((await run(command, args, { env: toolEnv(env) })) === 0);
}

/** Runs a command; its stderr is shown, its stdout is given line by line. */
async function runLines(command, args, env, onLine) {
  const child = spawn(command, args, { cwd: root, env: toolEnv(env), stdio: ['ignore', 'pipe', 2] });
  process.once('exit', () => child.kill());
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop();
    lines.forEach(onLine);
  });
  const code = await new Promise((done) => {
    child.on('error', () => done(127));
    child.on('close', (it) => done(it ?? 128));
  });
  if (rest) onLine(rest);
  return code;
}

/** Tests of these packages or targets; with filters, those whose path contains one of them. */
async function rustTests(targets, filters = []) {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  const hasNextest = has('cargo', 'nextest', '--version');
  // Random input for two minutes in all; a developer's own `cargo nextest run` takes twenty seconds of it.
  const env = { MAYFLY_FUZZ_SECS: process.env.MAYFLY_FUZZ_SECS ?? '120' };
  let code;
  if (hasNextest) {
    const args = ['nextest', 'run', ...targets, '--no-fail-fast', '--message-format', 'libtest-json', ...filters];
    code = await runLines('cargo', args, { ...env, NEXTEST_EXPERIMENTAL_LIBTEST_JSON: '1' }, (line) => {
      const event = line.startsWith('{') ? JSON.parse(line) : {};
      if (event.type !== 'suite' || event.event === 'started') return;
      sum.passed += event.passed;
      sum.failed += event.failed;
      sum.skipped += event.ignored;
    });
  } else {
    code = await runLines('cargo', ['test', ...targets, '--no-fail-fast', '--', ...filters], env, (line) => {
      process.stdout.write(`${line}\n`);
      const match = /^test result: .* (\d+) passed; (\d+) failed; (\d+) ignored/.exec(line);
      if (!match) return;
      sum.passed += Number(match[1]);
      sum.failed += Number(match[2]);
      sum.skipped += Number(match[3]);
    });
  }
  // Nothing was counted if it did not compile.
  if (code !== 0 && sum.failed === 0) sum.failed = 1;
  return sum;
}

/** Files whose tests have everything to themselves: ports, directories, Workers, clouds. They mostly wait. */
function sideBySide(files) {
  return nodeTests(files, Math.min(availableParallelism(), 4));
}

async function nodeTests(files, atOnce = 1) {
  const scratch = mkdtempSync(join(cacheDir(), 'counts-'));
  const file = join(scratch, 'counts');
  const args = ['--test', `--test-concurrency=${atOnce}`, '--test-reporter=spec', '--test-reporter-destination=stdout'];
  args.push('--test-reporter=./tests/run/counts-reporter.mjs', `--test-reporter-destination=${file}`, ...files);
  const code = await run(process.execPath, args, { env: toolEnv(), stdio: ['ignore', 1, 2] });
  const text = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
  rmSync(scratch, { recursive: true, force: true });
  if (!text) return counted(false);
  const sum = JSON.parse(text.split('\n').at(-1));
  if (code !== 0 && sum.failed === 0) sum.failed = 1;
  return sum;
}

/** The native tests have left what the Worker renders for every combination of options. */
function cloudInitTests(files) {
  const rendered = join(targetDir, 'tmp/rendered');
  if (existsSync(rendered)) process.env.MAYFLY_RENDERED = rendered;
  return nodeTests(files);
}

async function browserTests(files) {
  const chromium = await needChromium();
  if (!chromium) {
    say(`skipped: ${files.join(', ')}`);
    return { passed: 0, failed: 0, skipped: files.length };
  }
  process.env.CHROMIUM = chromium;
  const sum = await sideBySide(files);
  say(`screenshots: ${join(root, 'tests/artifacts')}`);
  return sum;
}

/** The main story in a booted guest; all the others are `npm run test:vm`. */
async function bootOnce() {
  const { runScenarios } = await import('../vm/scenarios.mjs');
  return runScenarios(['cold']);
}

/** What Cloudflare would get, by wrangler's own measure. */
async function size() {
  let gzip;
  const code = await runLines('wrangler', ['deploy', '--dry-run', '--outdir', 'build/dist'], {}, (line) => {
    process.stdout.write(`${line}\n`);
    const match = /gzip: ([\d.]+) KiB/.exec(line);
    if (match) gzip = Number(match[1]);
  });
  process.stdout.write(`size gzip_kb ${gzip} (limit ${GZIP_LIMIT_KIB})\n`);
  return counted(code === 0 && gzip <= GZIP_LIMIT_KIB);
}
