// A simulated AWS for a test: moto with signatures and permissions checked (aws.py beside this file), and the state that it
// holds, as AWS's own client tells it. MOTO_PYTHON is a Python that has moto and boto3; `npm test` sets one up.
import { spawn, spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const PYTHON = process.env.MOTO_PYTHON ?? 'python3';
const PROGRAM = fileURLToPath(new URL('aws.py', import.meta.url));

/** Why there is no moto here, or false. */
export function whyNoMoto() {
  const { error, status } = spawnSync(PYTHON, ['-c', 'import moto.server, boto3'], { stdio: 'ignore' });
  return error || status !== 0 ? `no moto here: set MOTO_PYTHON to a Python with moto[server,ec2] and boto3 (${PYTHON})` : false;
}

/** The IAM policy that the README tells people to use. */
async function policy() {
  const readme = await readFile(new URL('../../../README.md', import.meta.url), 'utf8');
  const [, text] = /### AWS permissions[^]*?```json\n([^]*?)```/.exec(readme);
  return JSON.stringify(JSON.parse(text));
}

/** Starts an AWS of its own for the caller; it ends with `close`, and in any case with this process. */
export async function startAws() {
  // What it writes to stderr is a line per request.
  const child = spawn(PYTHON, ['-u', PROGRAM, await policy()], { stdio: ['pipe', 'pipe', 'ignore'] });
  const gone = new Promise((done) => child.once('close', done));
  const waiting = [];
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.(JSON.parse(line)));
  const over = new Promise((_, failed) => {
    child.once('error', failed);
    gone.then((code) => failed(new Error(`${PROGRAM} ended with ${code}`)));
  });
  // Nobody need be waiting when it ends.
  over.catch(() => {});
  const answer = () => Promise.race([new Promise((done) => waiting.push(done)), over]);
  const ask = (...words) => {
    child.stdin.write(`${words.join(' ')}\n`);
    return answer();
  };
  const { url, key, powerless } = await answer();
  const varsOf = (it, regions) => ({
    AWS_ACCESS_KEY_ID: it.id,
    AWS_SECRET_ACCESS_KEY: it.secret,
    AWS_REGIONS: regions,
    EC2_API_URL: url,
    AWS_PRICING_API_URL: url,
  });
  return {
    url,
    /** What the Worker's configuration needs to use it. */
    vars: (regions) => varsOf(key, regions),
    /** The same with the key of a user who may do nothing at EC2. */
    powerlessVars: (regions) => varsOf(powerless, regions),
    state: (region) => ask('state', region),
    foreign: (region) => ask('foreign', region),
    userData: async (region, instance) => Buffer.from((await ask('user-data', region, instance)).user_data, 'base64'),
    close: () => {
      child.stdin.end();
      return gone;
    },
  };
}
