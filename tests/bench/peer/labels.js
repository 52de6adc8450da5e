// What is packed into labels: texts, boot timings, failure reasons, idle verdicts, prices, fingerprints.
const ESCAPES = { s: '/', c: ':', a: '@', u: '_', t: '~' };
const TIMED = { d: 'docker', c: 'clone', v: 'devcontainer', u: 'ui' };
const SIGNALS = { a: 'agent', t: 'transcript', f: 'files', c: 'connection', s: 'ssh', b: 'build', k: 'keep' };
const REASONS = {
  apt_failed: 'packages could not be installed',
  download_failed: 'a program could not be downloaded',
  docker_failed: 'Docker did not start',
  not_found: 'the repository or branch does not exist, or the credential may not see it',
  auth_failed: 'the repository asks for a credential: give a git_token that may read it',
  unreachable: "the repository's host could not be reached",
  forbidden_address: "the repository's host has a private or link-local address",
  clone_failed: 'git could not clone the repository',
  build_failed: 'the devcontainer could not be built, and neither could the default one',
  fallback: "the repository's devcontainer could not be built; this is the default one",
  ui_failed: 'the web UI could not be installed; the terminal works',
  ui_down: 'the web UI did not come up; the terminal did',
  open_registration: 'the web UI let a stranger register, so it was not opened',
  no_space: 'the disk is full',
  timeout: 'it took longer than its limit',
  internal: 'a script of Mayfly failed',
};
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

export const PHASES = ['booting', 'docker', 'clone', 'devcontainer', 'ui', 'ready', 'failed', 'stopping'];

/** A whole number, or null. */
export function integer(text) {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : null;
}

/** A text that is packed over `key`, `key-1`, `key-2`…, or null. */
export function text(labels, key) {
  let packed = '';
  for (let index = 0; ; index++) {
    const piece = labels[index === 0 ? key : `${key}-${index}`];
    if (piece === undefined) return index === 0 ? null : unpack(packed);
    if (piece.length < 2 || piece[0] !== '0' || piece.at(-1) !== '0') return null;
    packed += piece.slice(1, -1);
  }
}

function unpack(packed) {
  const whole = packed.startsWith('_h') ? packed.slice(2) : `https://${packed.replaceAll('%', '%25')}`;
  let isGood = true;
  let isEncoded = false;
  const text = whole.replace(/_(x[0-9a-f]{2}|.?)/g, (_, code) => {
    if (code.length === 3) {
      isEncoded = true;
      return `%${code.slice(1)}`;
    }
    isGood &&= code in ESCAPES;
    return ESCAPES[code];
  });
  if (!isGood) return null;
  try {
    return isEncoded ? decodeURIComponent(text) : text;
  } catch {
    return null;
  }
}

export function timing(label) {
  const known = parts(label, TIMED, 86_400);
  return Object.values(TIMED).filter((it) => known[it] !== undefined).map((phase) => ({ phase, seconds: known[phase] }));
}

export function verdict(label) {
  const known = parts(label, SIGNALS, 10_080);
  return Object.values(SIGNALS)
    .filter((it) => known[it] !== undefined)
    .map((signal) => ({ signal, age_minutes: known[signal] }));
}

function parts(label, names, max) {
  const known = {};
  for (const part of label === undefined ? [] : label.split('.')) {
    const name = names[part[0]];
    const number = integer(part.slice(1));
    if (name !== undefined && number !== null) known[name] = Math.min(number, max);
  }
  return known;
}

export function reason(label) {
  const [phase, code] = label?.split('.') ?? [];
  if (!PHASES.includes(phase) || !Object.hasOwn(REASONS, code)) return null;
  return { phase, code, detail: REASONS[code] };
}

/** Millionths per hour and currency. */
export function price(label) {
  const [, micros, currency] = /^(\d+)\.([A-Z]{3})$/.exec(label ?? '') ?? [];
  return currency === undefined ? null : { micros: Number(micros), currency };
}

/** The certificate that a VM's door shows, from its label. */
export function certificate(label) {
  const [, whose, digits] = /^([ts])\.([a-z2-7]{52})$/.exec(label ?? '') ?? [];
  if (!whose) return null;
  const hex = [...bytesOfBase32(digits)].map((it) => it.toString(16).padStart(2, '0')).join('');
  return { state: whose === 't' ? 'trusted' : 'self_signed', sha256: hex };
}

/** `SHA256:…` as ssh shows it, from base32. */
export function hostKey(label) {
  const bytes = label === undefined ? null : bytesOfBase32(label);
  return bytes?.length === 32 ? `SHA256:${btoa(String.fromCharCode(...bytes)).replace(/=+$/, '')}` : null;
}

function bytesOfBase32(text) {
  const bytes = [];
  let [buffer, bits] = [0, 0];
  for (const letter of text) {
    const value = BASE32.indexOf(letter);
    if (value < 0) return null;
    buffer = ((buffer << 5) | value) & 0xfff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((buffer >> bits) & 0xff);
    }
  }
  return bytes;
}
