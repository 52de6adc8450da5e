// Another way to count: a look at each event as it goes by.
export default {
  async fetch(request, env) {
    const answer = await fetch(`${env.AGENT_UPSTREAM_URL}/v1/messages`, { method: 'POST', body: request.body, headers: { 'content-type': 'application/json' } });
    let bytes = 0;
    const look = new TransformStream({ transform: (chunk, out) => ((bytes += chunk.length), out.enqueue(chunk)) });
    return new Response(answer.body.pipeThrough(look), { headers: { 'content-type': 'text/event-stream' } });
  },
};
