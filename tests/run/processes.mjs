// Child processes that never outlive us: each is the leader of its own group, which is ended as a whole, and each Node
// child watches a channel to us and ends its group when we are gone. What runs, and when, is for others.
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const GRACE_MS = 5000;
const TAIL_LINES = 15;

/** Preloaded into a Node child: no parent, no group. */
const WATCH_PARENT = `data:text/javascript,${encodeURIComponent(
  `if (process.channel) { process.channel.unref(); process.once('disconnect', () => process.kill(-process.pid, 'SIGKILL')); }`,
)}`;

/**
 * Starts a process in its own group.
 * @param {{env?: object, cwd?: string, log?: string, stdin?: 'ignore'|'pipe', onLine?: (line: string) => void}} options
 */
export function startProcess(command, args, { env, cwd, log, stdin = 'ignore', onLine } = {}) {
  return adopt(spawn(command, args, { env, cwd, detached: true, stdio: [stdin, 'pipe', 'pipe'] }), log, onLine);
}

/** The same for a script under this Node, which also ends when this process was killed. */
export function startNode(args, { env, cwd, log, onLine } = {}) {
  const stdio = ['ignore', 'pipe', 'pipe', 'ipc'];
  const child = spawn(process.execPath, ['--import', WATCH_PARENT, ...args], { env, cwd, detached: true, stdio });
  return adopt(child, log, onLine);
}

function adopt(child, log, onLine) {
  const lines = [];
  const file = log && createWriteStream(log, { mode: 0o600 });
  let rest = '';
  const take = (chunk) => {
    file?.write(chunk);
    const parts = (rest + chunk).split('\n');
    rest = parts.pop();
    for (const line of parts) {
      lines.push(line);
      if (lines.length > TAIL_LINES) lines.shift();
      onLine?.(line);
    }
  };
  child.stdout.setEncoding('utf8').on('data', take);
  child.stderr.setEncoding('utf8').on('data', take);
  const ended = new Promise((done) => {
    child.on('error', (error) => done(error.message));
    child.on('exit', (code, signal) => done(signal ?? `exit code ${code}`));
  });
  return {
    pid: child.pid,
    stdin: child.stdin,
    /** Resolves, when the process ends, to how it ended. */
    ended,
    /** The last lines that it printed. */
    tail: () => [...lines, rest].join('\n').trim(),
    stop: () => stopGroup(child.pid),
  };
}

/** Ends a whole group: a request first, then by force. Resolves when none of it is left. */
async function stopGroup(pid) {
  if (!pid) return;
  signalGroup(pid, 'SIGTERM');
  // Killed processes that nobody reaps (a container without an init) still count as members: so there is an end.
  for (const since = Date.now(); signalGroup(pid, 0) && Date.now() < since + 2 * GRACE_MS; await sleep(20)) {
    if (Date.now() > since + GRACE_MS) signalGroup(pid, 'SIGKILL');
  }
}

/** False if no process of the group is left. */
function signalGroup(pid, signal) {
  try {
    process.kill(-pid, signal);
    return true;
  } catch (error) {
    if (error.code === 'ESRCH') return false;
    // macOS says so of a group that has only just ended.
    if (error.code === 'EPERM') return false;
    throw error;
  }
}

/** Polls until the check gives something, or a child ends, or the time is up; the last two are errors. */
export async function waitUntil(what, check, { children = [], timeoutMs = 180_000 } = {}) {
  let dead;
  for (const [name, child] of Object.entries(children)) child.ended.then((how) => (dead ??= { name, how, child }));
  for (const until = Date.now() + timeoutMs; ; await sleep(50)) {
    if (dead) throw new Error(`${dead.name} ended (${dead.how}):\n${dead.child.tail()}`);
    const result = await check().catch(() => undefined);
    if (result) return result;
    if (Date.now() > until) {
      const tails = Object.entries(children).map(([name, child]) => `${name}:\n${child.tail()}`);
      throw new Error([`${what} does not answer after ${timeoutMs / 1000} s`, ...tails].join('\n'));
    }
  }
}
