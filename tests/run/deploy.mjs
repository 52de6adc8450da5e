// `npm run deploy`: the Worker with its secrets to Cloudflare Workers, the page to Cloudflare Pages, and the address of
// each told to the other. Every step can be repeated. The keys come from .secrets.json (setup.mjs).
//   PAGES_PROJECT   name of the Pages project, if it is to differ from the Worker's
//   WRANGLER_BIN    another wrangler than the pinned one
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheDir, main, prepare, root, run, say, toolEnv } from './prepare.mjs';
import { readSecrets, secretsFile } from './secrets.mjs';

const WRANGLER = process.env.WRANGLER_BIN ?? 'wrangler';
const NEEDED = ['API_TOKEN', 'SIGNING_KEY'];

await main(async () => {
  await prepare();
  const secrets = readSecrets();
  const missing = NEEDED.find((it) => !secrets[it] && !(it === 'API_TOKEN' && secrets.API_TOKENS));
  if (missing) throw new Error(`${secretsFile} has no ${missing}: run npm run setup first`);
  if ((await wrangler(['whoami', '--json'])).code !== 0) {
    throw new Error('not signed in to Cloudflare: run npx wrangler login, or set CLOUDFLARE_API_TOKEN');
  }

  const name = /^name = "([\w-]+)"$/m.exec(readFileSync(join(root, 'wrangler.toml'), 'utf8'))?.[1];
  if (!name) throw new Error('wrangler.toml names no Worker');
  const project = process.env.PAGES_PROJECT ?? name;
  const origins = await pagesOrigins(project);
  const api = await deployWorker([...new Set([...origins, ...(await ownOrigins())])]);
  await deployPage(project, api);
  process.stdout.write(`page   ${origins[0]}\nWorker ${api}\n`);
  say(`sign in with the API_TOKEN of ${secretsFile}`);
});

/** The origins of the Pages project, which is created if it is missing. */
async function pagesOrigins(project) {
  let domains = await domainsOf(project);
  if (!domains) {
    say(`creating the Pages project ${project}`);
    const args = ['pages', 'project', 'create', project, '--production-branch', 'main'];
    if ((await wrangler(args, { show: true })).code !== 0) throw new Error(`the Pages project ${project} could not be created`);
    domains = await domainsOf(project);
  }
  if (!domains?.length) throw new Error(`the Pages project ${project} has no address`);
  // Its own pages.dev name need not be the project's: that may have been taken by somebody else.
  return domains.map((it) => `https://${it}`);
}

/** Those that wrangler.toml names, such as previews' (`https://*.mayfly.pages.dev`): `--var` would put ours in their place. */
async function ownOrigins() {
  // As wrangler itself reads it.
  const { unstable_readConfig: readConfig } = await import('wrangler');
  const { vars } = readConfig({ config: join(root, 'wrangler.toml') }, { hideWarnings: true });
  return String(vars.ALLOWED_ORIGINS ?? '').split(',').map((it) => it.trim()).filter(Boolean);
}

async function domainsOf(project) {
  const { code, output } = await wrangler(['pages', 'project', 'list', '--json']);
  if (code !== 0) throw new Error(`the Pages projects cannot be listed:\n${output}`);
  const found = JSON.parse(output.slice(output.indexOf('['))).find((it) => it['Project Name'] === project);
  return found && found['Project Domains'].split(',').map((it) => it.trim()).filter(Boolean);
}

/** Deploys until the Worker knows its own address: at once, or at the second time if it is new. */
async function deployWorker(origins) {
  // One for each file of secrets: each is a deployment of its own.
  const memory = join(cacheDir(), `deployed-${createHash('sha256').update(secretsFile).digest('hex').slice(0, 8)}.json`);
  let known = existsSync(memory) ? JSON.parse(readFileSync(memory, 'utf8')).worker : undefined;
  for (let round = 0; round < 2; round += 1) {
    const args = ['deploy', '--secrets-file', secretsFile, '--var', `ALLOWED_ORIGINS:${origins.join(',')}`];
    if (known) args.push('--var', `PUBLIC_URL:${known}`);
    const { code, reports } = await wrangler(args, { show: true });
    if (code !== 0) throw new Error('the Worker could not be deployed; the reason is above');
    const targets = reports.find((it) => it.type === 'deploy')?.targets ?? [];
    const target = targets.find((it) => it.startsWith('https://'));
    if (!target) throw new Error(`wrangler names no address of the Worker (${targets.join(', ')})`);
    const url = new URL(target.split(' ')[0]).origin;
    if (url === known) return url;
    known = url;
    writeFileSync(memory, JSON.stringify({ worker: url }));
  }
  return known;
}

async function deployPage(project, api) {
  const dir = join(root, 'build/pages');
  rmSync(dir, { recursive: true, force: true });
  cpSync(join(root, 'pages'), dir, { recursive: true });
  for (const name of ['index.html', 'docs.html']) {
    const file = join(dir, name);
    const empty = '<meta name="mayfly-api" content="">';
    const html = readFileSync(file, 'utf8');
    if (!html.includes(empty)) throw new Error(`pages/${name} has no place for the address of the Worker`);
    writeFileSync(file, html.replace(empty, empty.replace('""', `"${api}"`)));
  }
  const args = ['pages', 'deploy', dir, '--project-name', project, '--branch', 'main', '--commit-dirty=true'];
  if ((await wrangler(args, { show: true })).code !== 0) throw new Error('the page could not be deployed; the reason is above');
}

/** Runs wrangler; resolves to its exit code, what it printed (unless shown) and the reports that it wrote. */
async function wrangler(args, { show = false } = {}) {
  const scratch = mkdtempSync(join(cacheDir(), 'wrangler-'));
  const report = join(scratch, 'report');
  const env = toolEnv({ WRANGLER_OUTPUT_FILE_PATH: report });
  try {
    let output = '';
    let code;
    if (show) code = await run(WRANGLER, args, { env });
    else {
      const child = spawn(WRANGLER, args, { cwd: root, env, stdio: ['ignore', 'pipe', 2] });
      child.stdout.setEncoding('utf8').on('data', (chunk) => (output += chunk));
      code = await new Promise((done) => child.on('error', () => done(127)).on('close', done));
    }
    const text = existsSync(report) ? readFileSync(report, 'utf8') : '';
    return { code, output, reports: text.split('\n').filter(Boolean).map((it) => JSON.parse(it)) };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
