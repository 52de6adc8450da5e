// Loaded before web UIs in Node that cannot be told better (NODE_OPTIONS=--require): what would listen everywhere listens on
// loopback, and arguments that hold a secret come from MAYFLY_ARGUMENTS, since everybody reads a process's own ones; so do those
// that it gives to the Node programs which it starts.
'use strict';
const children = require('node:child_process');
const { syncBuiltinESMExports } = require('node:module');
const net = require('node:net');

const EVERYWHERE = [undefined, null, '', '0.0.0.0', '::'];
const LOOPBACK = '127.0.0.1';
const { listen } = net.Server.prototype;

// listen(port, host?, backlog?, done?), listen({port, host?}, done?) or listen(path | handle, …).
net.Server.prototype.listen = function inward(...given) {
  const [first, second] = given;
  if (typeof first === 'number' || /^\d+$/.test(first)) {
    const hasHost = given.length > 1 && (typeof second === 'string' || second === undefined || second === null);
    if (!hasHost) given.splice(1, 0, LOOPBACK);
    else if (EVERYWHERE.includes(second)) given[1] = LOOPBACK;
  } else if (first?.port !== undefined && EVERYWHERE.includes(first.host)) {
    given[0] = { ...first, host: LOOPBACK };
  }
  return listen.apply(this, given);
};

if (process.env.MAYFLY_ARGUMENTS) {
  process.argv.push(...process.env.MAYFLY_ARGUMENTS.split(' '));
  delete process.env.MAYFLY_ARGUMENTS;
}

/** Options of which the next argument is a secret. */
const SECRET_OPTIONS = ['--session-api-key'];
const { spawn } = children;

children.spawn = function quiet(command, given, options) {
  const at = Array.isArray(given) ? given.findIndex((it) => SECRET_OPTIONS.includes(it)) : -1;
  if (at < 0) return spawn.apply(this, arguments);
  const env = { ...(options?.env ?? process.env), MAYFLY_ARGUMENTS: given.slice(at, at + 2).join(' ') };
  return spawn.call(this, command, given.toSpliced(at, 2), { ...options, env });
};
syncBuiltinESMExports();
