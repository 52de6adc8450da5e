// The providers that the fake cloud can stand in for: what the Worker's configuration needs to use each. Which of them are
// switched on, and who starts them, is decided elsewhere.

/** The one Scaleway project that the fake cloud has. */
const FAKE_PROJECT = '5c000000-0000-4000-8000-000000000001';

/** Vars of the Worker by provider, from the fake cloud's address and token. */
const PROVIDERS = {
  hetzner: (cloud, token) => ({ HETZNER_TOKEN: token, HETZNER_API_URL: `${cloud}/v1` }),
  scaleway: (cloud, token) => ({
    SCALEWAY_SECRET_KEY: token,
    SCALEWAY_PROJECT_ID: FAKE_PROJECT,
    SCALEWAY_API_URL: `${cloud}/scaleway`,
    // Enough to choose from, and quicker to ask than all ten.
    SCALEWAY_ZONES: 'fr-par-1,fr-par-2,nl-ams-1',
  }),
  digitalocean: (cloud, token) => ({ DIGITALOCEAN_TOKEN: token, DIGITALOCEAN_API_URL: `${cloud}/digitalocean/v2` }),
  ovh: (cloud, token) => ({
    OVH_APPLICATION_KEY: 'fake-application',
    OVH_APPLICATION_SECRET: token,
    OVH_CONSUMER_KEY: 'fake-consumer',
    OVH_PROJECT_ID: '0f1e2d3c4b5a69788796a5b4c3d2e1f0',
    OVH_API_URL: `${cloud}/ovh/v1`,
  }),
};

export const FAKE_PROVIDERS = Object.keys(PROVIDERS);
/** Played by a simulator that others keep, in tests alone. */
export const SIMULATED = ['ec2'];

/** The names in a comma-separated list; without one it is Hetzner. A name that is unknown is an error that says which there are. */
export function fakeProviders(text) {
  const names = (text ?? '').split(',').map((it) => it.trim()).filter(Boolean);
  const unknown = names.filter((it) => !FAKE_PROVIDERS.includes(it));
  if (unknown.length > 0) {
    throw new Error(`FAKE_PROVIDERS: there is no fake of ${unknown.join(', ')}; there are ${FAKE_PROVIDERS.join(', ')}`);
  }
  return names.length > 0 ? [...new Set(names)] : ['hetzner'];
}

/** Vars of a Worker that uses the fake cloud at this address as these providers, simulated guests included. */
export function fakeVars(cloud, token, providers) {
  const vars = { SIMULATION: '1', VM_ORIGIN: `${cloud}/guests/{ipv4}` };
  return Object.assign(vars, ...providers.map((it) => PROVIDERS[it](cloud, token)));
}
