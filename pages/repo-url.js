/**
 * Understands what people paste when they mean a repository. Pure.
 * Whether it exists, and whether it may be cloned, is for the API to say.
 */

/**
 * @typedef {{ok: true, repo_url: string, branch: string|null, label: string, note: string|null}} Understood
 * @typedef {{ok: false, reason: string}} NotUnderstood
 */

const SHORT_NAME = /^[A-Za-z0-9][A-Za-z0-9-]*\/[A-Za-z0-9._-]+$/;
const SCP = /^(?:([A-Za-z0-9._-]+)@)([A-Za-z0-9.-]+):(?!\/)(.+)$/;
const HOST_FIRST = /^[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?::\d+)?\//;

/** Branches that never have a slash in them, so that what follows is a folder. */
const TRUNKS = new Set(['main', 'master', 'develop', 'dev', 'trunk', 'staging', 'production', 'HEAD']);
/** First halves of the usual `kind/topic` branch names. */
const KINDS = new Set([
  'feature', 'feat', 'fix', 'bugfix', 'hotfix', 'release', 'chore', 'docs', 'refactor', 'test', 'claude', 'codex', 'copilot',
]);
/** Bots name branches with any number of slashes. */
const BOTS = new Set(['dependabot', 'renovate']);

const refused = (reason) => ({ ok: false, reason });

/**
 * @param {string} pasted
 * @returns {Understood|NotUnderstood}
 */
export function understandRepo(pasted) {
  const text = unwrap(pasted);
  if (!text) return refused('Paste the address of a repository.');
  if (/\s/.test(text)) return refused('An address has no spaces in it.');
  if (SHORT_NAME.test(text)) return understood('https:', 'github.com', text.split('/'), null, null);
  const scp = SCP.exec(text);
  if (scp) return sshAddress(scp[1], scp[2], '', scp[3]);
  const withScheme = /^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(text) ? text : HOST_FIRST.test(text) ? `https://${text}` : null;
  if (!withScheme) return refused('This is no address of a repository. Try owner/name or https://…');
  let url;
  try {
    url = new URL(withScheme);
  } catch {
    return refused('This is no complete address.');
  }
  return url.protocol === 'ssh:' ? sshUrl(url) : webAddress(url);
}

/** Takes off what comes along with a copied command or a Markdown link. @param {string} pasted */
function unwrap(pasted) {
  return pasted
    .trim()
    .replace(/^\$\s*/, '')
    .replace(/^(?:git|gh\s+repo)\s+clone\s+(?:--?[\w=-]+\s+)*/, '')
    .replace(/^git\+(?=https:|ssh:)/, '')
    .replace(/^[<"'`([]+|[>"'`)\],;]+$/g, '')
    .trim();
}

/** @param {URL} url */
function sshUrl(url) {
  if (url.password) return refused('Leave the password out of the address.');
  return sshAddress(url.username || 'git', url.hostname, url.port, url.pathname);
}

function sshAddress(user, host, port, path) {
  const segments = path.split('/').filter(Boolean);
  if (segments.length < 2) return refused('The address needs an owner and a name: git@host:owner/name.git');
  const place = port ? `${host}:${port}` : host;
  return {
    ok: true,
    repo_url: `ssh://${user}@${place}/${segments.join('/')}`,
    branch: null,
    label: `${host}/${segments.join('/').replace(/\.git$/, '')}`,
    note: 'An SSH address works only where the VM finds a key for it; https with a git token is simpler.',
  };
}

/** @param {URL} url */
function webAddress(url) {
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return refused('Only https and ssh addresses can be cloned.');
  if (url.username || url.password) {
    return refused('Leave user name and token out of the address. A git token has its own field under Advanced.');
  }
  const host = url.host.replace(/^www\./, '');
  const segments = url.pathname.split('/').filter(Boolean).map(decoded);
  if (host === 'raw.githubusercontent.com') {
    const [owner, name, ...rest] = segments;
    if (!name) return refused('The address names no repository.');
    return understood('https:', 'github.com', [owner, name], ...branchOf(rest[0] === 'refs' ? rest.slice(2) : rest));
  }
  // GitLab, hosted anywhere: all before `/-/` is the project, however deep its groups are.
  const dash = segments.indexOf('-');
  if (dash >= 2) {
    const kind = segments[dash + 1];
    const rest = segments.slice(dash + 2);
    const isBranch = ['tree', 'blob', 'raw', 'commits'].includes(kind);
    return understood(url.protocol, host, segments.slice(0, dash), ...(isBranch ? branchOf(rest) : pageNote(kind)));
  }
  if (segments.length < 2) return refused('The address needs an owner and a name: https://host/owner/name');
  if (host === 'github.com') {
    const [owner, name, kind, ...rest] = segments;
    const isBranch = ['tree', 'blob', 'raw', 'blame', 'commits'].includes(kind);
    return understood('https:', host, [owner, name], ...(isBranch ? branchOf(rest) : pageNote(kind)));
  }
  if (segments[2] === 'src' && segments[3]) {
    // Forgejo and Gitea say /src/branch/<name>, Bitbucket /src/<name>.
    const named = ['branch', 'tag', 'commit'].includes(segments[3]);
    return understood(url.protocol, host, segments.slice(0, 2), ...branchOf(segments.slice(named ? 4 : 3)));
  }
  return understood(url.protocol, host, segments, null, null);
}

/** @returns {Understood} */
function understood(protocol, host, segments, branch, note) {
  const path = segments.map((segment) => encodeURIComponent(segment).replaceAll('%40', '@'));
  // Code hosts answer with and without `.git`; unknown ones get what was pasted.
  const known = ['github.com', 'gitlab.com', 'bitbucket.org', 'codeberg.org'].includes(host);
  const clean = path.join('/').replace(known ? /\.git$/ : /$^/, '');
  const upgraded = protocol === 'http:' ? 'Cloned over https.' : null;
  return {
    ok: true,
    repo_url: `https://${host}/${clean}`,
    branch,
    label: `${host}/${segments.join('/').replace(/\.git$/, '')}`,
    note: note ?? upgraded,
  };
}

/**
 * The branch at the start of what follows `/tree/`: the address alone cannot tell `feature/login` from a
 * folder `login` on the branch `feature`, so a guess says that it is one.
 * @param {string[]} rest
 */
function branchOf(rest) {
  if (rest.length === 0) return [null, null];
  const [first, second] = rest;
  if (/^[0-9a-f]{40}$/.test(first)) return [null, 'The link names a commit; the default branch is used.'];
  if (rest.length === 1) return [first, null];
  if (TRUNKS.has(first)) return [first, null];
  if (BOTS.has(first)) return [rest.join('/'), null];
  const branch = KINDS.has(first) ? `${first}/${second}` : first;
  return [branch, 'The link also names a folder or a file: check the branch under Advanced.'];
}

/** @param {string|undefined} kind the part of a web address after the repository's name */
function pageNote(kind) {
  if (kind === 'pull' || kind === 'merge_requests') {
    return [null, 'The link is one of a proposed change; the default branch is used. Its branch can be set under Advanced.'];
  }
  return [null, null];
}

/** @param {string} segment */
function decoded(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
