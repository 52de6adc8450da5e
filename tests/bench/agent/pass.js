// The control: the same request passed on, and the answer back, with nothing done to either.
export default {
  async fetch(request, env) {
    const answer = await fetch(`${env.AGENT_UPSTREAM_URL}/v1/messages`, { method: 'POST', body: request.body, headers: { 'content-type': 'application/json' } });
    return new Response(answer.body, { headers: { 'content-type': 'text/event-stream' } });
  },
};
