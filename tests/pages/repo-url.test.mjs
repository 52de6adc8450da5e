// What people paste when they mean a repository, and what the page makes of it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { understandRepo } from '../../pages/repo-url.js';

const UNDERSTOOD = [
  ['owner/name', 'https://github.com/owner/name', null],
  ['  owner/name.js  ', 'https://github.com/owner/name.js', null],
  ['github.com/owner/name', 'https://github.com/owner/name', null],
  ['https://www.github.com/owner/name', 'https://github.com/owner/name', null],
  ['https://github.com/owner/name.git', 'https://github.com/owner/name', null],
  ['https://github.com/owner/name/', 'https://github.com/owner/name', null],
  ['https://github.com/owner/name?tab=readme-ov-file#install', 'https://github.com/owner/name', null],
  ['http://github.com/owner/name', 'https://github.com/owner/name', null],
  ['https://github.com/owner/name/tree/main', 'https://github.com/owner/name', 'main'],
  ['https://github.com/owner/name/tree/main/docs/api', 'https://github.com/owner/name', 'main'],
  ['https://github.com/owner/name/tree/feature/login', 'https://github.com/owner/name', 'feature/login'],
  ['https://github.com/owner/name/tree/fix%2Fquoted', 'https://github.com/owner/name', 'fix/quoted'],
  ['https://github.com/owner/name/tree/dependabot/npm/a/b-1', 'https://github.com/owner/name', 'dependabot/npm/a/b-1'],
  ['https://github.com/owner/name/blob/v1.2/src/lib.rs', 'https://github.com/owner/name', 'v1.2'],
  ['https://github.com/owner/name/commits/release/2.0', 'https://github.com/owner/name', 'release/2.0'],
  ['https://github.com/owner/name/pull/12/files', 'https://github.com/owner/name', null],
  ['https://github.com/owner/name/issues', 'https://github.com/owner/name', null],
  ['https://raw.githubusercontent.com/owner/name/main/README.md', 'https://github.com/owner/name', 'main'],
  ['https://raw.githubusercontent.com/owner/name/refs/heads/dev/a', 'https://github.com/owner/name', 'dev'],
  ['https://gitlab.com/group/deep/name', 'https://gitlab.com/group/deep/name', null],
  ['https://gitlab.com/group/deep/name/-/tree/main', 'https://gitlab.com/group/deep/name', 'main'],
  ['https://git.example.org/group/name/-/blob/topic/a.txt', 'https://git.example.org/group/name', 'topic'],
  ['https://gitlab.com/group/name/-/merge_requests/3', 'https://gitlab.com/group/name', null],
  ['https://codeberg.org/owner/name/src/branch/main/src', 'https://codeberg.org/owner/name', 'main'],
  ['https://bitbucket.org/owner/name/src/develop/', 'https://bitbucket.org/owner/name', 'develop'],
  ['https://git.example.org:8443/owner/name.git', 'https://git.example.org:8443/owner/name.git', null],
  ['git clone https://github.com/owner/name.git', 'https://github.com/owner/name', null],
  ['$ git clone --depth=1 git@github.com:owner/name.git', 'ssh://git@github.com/owner/name.git', null],
  ['gh repo clone owner/name', 'https://github.com/owner/name', null],
  ['<https://github.com/owner/name>', 'https://github.com/owner/name', null],
  ['git+https://github.com/owner/name.git', 'https://github.com/owner/name', null],
  ['git@github.com:owner/name.git', 'ssh://git@github.com/owner/name.git', null],
  ['ssh://git@git.example.org:2222/owner/name.git', 'ssh://git@git.example.org:2222/owner/name.git', null],
];

for (const [pasted, url, branch] of UNDERSTOOD) {
  test(`understands ${pasted.trim()}`, () => {
    const result = understandRepo(pasted);
    assert.equal(result.ok, true, result.reason);
    assert.deepEqual([result.repo_url, result.branch], [url, branch]);
  });
}

const REFUSED = [
  ['', /Paste/],
  ['just words', /spaces/],
  ['word', /no address/],
  ['https://github.com/owner', /owner and a name/],
  ['javascript://github.com/owner/name', /https and ssh/],
  ['file:///etc/passwd/x', /https and ssh/],
  ['ext::sh -c whoami', /spaces/],
  ['https://user:secret@github.com/owner/name', /token out of the address/],
  ['https://ghp_x@github.com/owner/name', /token out of the address/],
  ['ssh://git:secret@host/owner/name', /password out/],
  ['git@host:name', /owner and a name/],
  ['https://', /no (complete )?address/],
];

for (const [pasted, reason] of REFUSED) {
  test(`refuses ${JSON.stringify(pasted)} with a reason`, () => {
    const result = understandRepo(pasted);
    assert.equal(result.ok, false);
    assert.match(result.reason, reason);
  });
}

test('a branch that is a guess says so, a certain one does not', () => {
  assert.match(understandRepo('https://github.com/o/r/tree/topic/src').note, /check the branch/);
  assert.equal(understandRepo('https://github.com/o/r/tree/main/src').note, null);
});

test('a commit, a proposed change and an ssh address come with what to know about them', () => {
  assert.match(understandRepo(`https://github.com/o/r/tree/${'a1'.repeat(20)}`).note, /commit/);
  assert.match(understandRepo('https://github.com/o/r/pull/3').note, /proposed change/);
  assert.match(understandRepo('git@github.com:o/r.git').note, /key/);
});

test('markup in an address stays percent-encoded data', () => {
  const { repo_url } = understandRepo('https://github.com/o/<img%20src=x%20onerror=alert(1)>');
  assert.doesNotMatch(repo_url, /[<> ]/);
});
