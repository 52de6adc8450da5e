// The control: what every implementation pays before it does anything. The same calls to the provider, each answer read
// whole; the first page goes back as it came. No check, no mapping, no framework.
const LARGEST_PAGE = 50;

export default {
  async fetch(request, env) {
    if (!request.url.endsWith('/vms')) return new Response('{"status":"ok"}');
    const owner = request.headers.get('x-owner');
    const pages = Number(request.headers.get('x-servers')) / LARGEST_PAGE;
    const first = await page(env, owner, 1);
    await Promise.all(Array.from({ length: pages - 1 }, (_, at) => page(env, owner, at + 2)));
    return new Response(first);
  },
};

async function page(env, owner, number) {
  const url = `${env.HETZNER_API_URL}/servers?label_selector=mayfly-owner%3D%3D${owner}&page=${number}&per_page=${LARGEST_PAGE}`;
  const response = await fetch(url, { headers: { authorization: `Bearer ${env.HETZNER_TOKEN}` } });
  return response.arrayBuffer();
}
