// Ours with a bucket, as far as an agent's answers need one: what is put there is there, and costs no call.
import worker from '../../../build/worker.js';

const keys = new Set();
const BACKUPS = {
  put: async (key) => keys.add(key),
  list: async ({ prefix }) => ({ objects: [...keys].filter((it) => it.startsWith(prefix)).map((key) => ({ key, size: 0, uploaded: new Date() })) }),
  delete: async (gone) => gone.forEach((key) => keys.delete(key)),
};

export default { fetch: (request, env, ctx) => worker.fetch(request, { ...env, BACKUPS }, ctx) };
