// The load of the bench: its own process, which sends one request after the other over a fixed number of kept
// connections and notes how long each took. On plain sockets, so that it takes little of the CPU that is measured.
import { connect } from 'node:net';

const HEAD_END = Buffer.from('\r\n\r\n');

process.on('message', async (order) => {
  try {
    process.send({ result: await load(order) });
  } catch (error) {
    process.send({ error: error.message });
  }
});
process.once('disconnect', () => process.exit());

/** Ends when both the time is up and at least `least` answers came, or at `most`. */
async function load({ port, path, headers, connections, ms, least, most = Infinity }) {
  const lines = Object.entries({ host: `127.0.0.1:${port}`, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  const request = Buffer.from(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
  const micros = [];
  let begun = 0;
  const since = process.hrtime.bigint();
  const until = since + BigInt(ms) * 1_000_000n;
  const goesOn = () => begun < most && (begun < least || process.hrtime.bigint() < until) && Boolean(++begun);
  await Promise.all(Array.from({ length: connections }, () => oneConnection(port, request, goesOn, micros)));
  const seconds = Number(process.hrtime.bigint() - since) / 1e9;
  micros.sort((a, b) => a - b);
  const at = (share) => micros[Math.min(micros.length - 1, Math.floor(micros.length * share))];
  return { requests: micros.length, perSecond: micros.length / seconds, p50: at(0.5), p99: at(0.99) };
}

function oneConnection(port, request, goesOn, micros) {
  return new Promise((done, failed) => {
    const socket = connect(port, '127.0.0.1').setNoDelay().setTimeout(15_000);
    let sent;
    let reader;
    const next = () => {
      if (!goesOn()) {
        socket.destroy();
        return done();
      }
      reader = answerReader();
      sent = process.hrtime.bigint();
      socket.write(request);
    };
    socket.on('connect', next);
    socket.on('data', (chunk) => {
      let isWhole;
      try {
        isWhole = reader(chunk);
      } catch (error) {
        socket.destroy(error);
        return;
      }
      if (!isWhole) return;
      micros.push(Number((process.hrtime.bigint() - sent) / 1000n));
      next();
    });
    socket.on('error', failed);
    socket.on('timeout', () => failed(new Error('no answer within 15 s')));
    socket.on('close', () => failed(new Error('the connection was closed early')));
  });
}

/** Tells when an answer is there whole. Any status but 200 is an error. */
function answerReader() {
  let head = Buffer.alloc(0);
  let left;
  return (chunk) => {
    if (left === undefined) {
      head = head.length > 0 ? Buffer.concat([head, chunk]) : chunk;
      const end = head.indexOf(HEAD_END);
      if (end < 0) return false;
      const text = head.latin1Slice(0, end);
      const length = /\r\ncontent-length: *(\d+)/i.exec(text)?.[1];
      if (!text.startsWith('HTTP/1.1 200') || length === undefined) throw new Error(`an answer of ${text}`);
      left = Number(length) + end + HEAD_END.length - head.length;
    } else {
      left -= chunk.length;
    }
    if (left < 0) throw new Error('an answer longer than it says');
    return left === 0;
  };
}
