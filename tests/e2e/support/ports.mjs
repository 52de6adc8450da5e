// Ports of this machine that nobody uses now, for programs that must be told theirs.
import { createServer } from 'node:net';

/** A free port of the loopback address. It is free when this returns; who takes it soon, gets it. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
