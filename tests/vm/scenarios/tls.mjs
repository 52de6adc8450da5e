// Certificates: one from an ACME authority for the address; and the VM's own where the authority refuses.
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { certificate, newPage } from '../lab/look.mjs';

export const minutes = 12;

export default async function tls(lab) {
  const { assert, acme, front, git } = lab;
  git.addRepo('shop', { files: { 'README.md': '# Shop\n' } });
  const body = { repo_url: git.url('shop'), web_ui: 'ttyd' };
  const roots = join(lab.dir, 'acme-root.pem');
  writeFileSync(roots, acme.root);

  await lab.step('a certificate for the address, by the short-lived profile', async () => {
    const { id, guest } = await lab.create(body);
    const vm = await lab.ready(id);
    const seen = certificate(guest.address, roots);
    assert.ok(seen.verified, seen.text);
    assert.match(acme.log(), /shortlived/);
    assert.equal(vm.tls.state, 'trusted');
    assert.equal((await lab.api('DELETE', `/vms/${id}`)).status, 200);
  });

  await lab.step('refused: ready all the same, with a certificate of its own that the API knows', async () => {
    acme.refuse();
    const { id, guest, password } = await lab.create(body);
    const vm = await lab.ready(id);
    assert.equal(certificate(guest.address, roots).verified, false);
    assert.equal(vm.tls.state, 'self_signed');
    assert.equal(vm.tls.sha256, fingerprint(certificate(guest.address, roots).text));
    const page = await newPage(await lab.browser());
    await page.goto(vm.urls.status);
    await page.getByLabel('Password of this workspace').fill(password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText(vm.tls.sha256).waitFor();
    front.mend(acme.host);
    assert.equal((await lab.api('DELETE', `/vms/${id}`)).status, 200);
  });
}

/** SHA-256 of the first certificate in openssl's words, as hex. */
function fingerprint(text) {
  const [, base64] = /-----BEGIN CERTIFICATE-----([\s\S]+?)-----END/.exec(text);
  return createHash('sha256').update(Buffer.from(base64, 'base64')).digest('hex');
}
