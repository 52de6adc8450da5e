// Loaded before web UIs in Node that cannot be told better (NODE_OPTIONS=--require): what would listen everywhere listens on
// loopback, and arguments that hold a secret come from MAYFLY_ARGUMENTS, since everybody reads a process's own ones.
'use strict';
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
