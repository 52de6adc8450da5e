// The model's API of the bench: its own process, which answers everything with a stream of events, at the pace of a model.
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const [events, everyMs] = process.argv.slice(2).map(Number);
const line = (data) => `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
const START = line({ type: 'message_start', message: { id: 'msg_1', content: [], usage: { input_tokens: 30, output_tokens: 1 } } });
const DELTA = line({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: ' and so on, a few words' } });
const END = line({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 5000 } });

const server = createServer(async (request, response) => {
  request.resume();
  response.writeHead(200, { 'content-type': 'text/event-stream' }).write(START);
  for (let sent = 2; sent < events; sent += 1) {
    response.write(DELTA);
    await sleep(everyMs);
  }
  response.end(END);
});
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port, bytes: START.length + END.length + DELTA.length * (events - 2) }));
process.once('disconnect', () => process.exit());
