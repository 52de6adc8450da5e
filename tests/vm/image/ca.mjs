// The lab's certificate authority: made once, trusted by the guest images and by the containers' images, and by nobody
// else. Signs for names and addresses. Needs openssl.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { cacheDir } from '../../run/prepare.mjs';

const DAYS = 3650;

/**
 * The authority, made if it is not there yet.
 * @returns {Promise<{cert: string, key: string, sign: (names: string[]) => {certFile: string, keyFile: string}}>} files
 */
export async function testCa() {
  const dir = join(cacheDir(), 'vm-lab', 'ca');
  const [cert, key] = [join(dir, 'ca.pem'), join(dir, 'ca.key')];
  if (!existsSync(cert)) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', String(DAYS), '-subj', '/CN=Mayfly lab CA',
      '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign', '-keyout', key, '-out', `${cert}.part`);
    renameSync(`${cert}.part`, cert);
  }
  return { cert, key, sign: (names) => sign(dir, names) };
}

function sign(dir, names) {
  const base = join(dir, createHash('sha256').update(names.join(' ')).digest('hex').slice(0, 16));
  const files = { certFile: `${base}.pem`, keyFile: `${base}.key` };
  if (existsSync(files.certFile)) return files;
  const subject = names.map((it) => `${isIP(it) ? 'IP' : 'DNS'}:${it}`).join(',');
  writeFileSync(`${base}.ext`, `subjectAltName=${subject}\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n`);
  openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=the lab', '-keyout', files.keyFile, '-out', `${base}.csr`);
  openssl('x509', '-req', '-in', `${base}.csr`, '-CA', join(dir, 'ca.pem'), '-CAkey', join(dir, 'ca.key'), '-days', '825',
    '-extfile', `${base}.ext`, '-out', `${base}.part`);
  // Clients want the whole chain.
  writeFileSync(files.certFile, readFileSync(`${base}.part`, 'utf8') + readFileSync(join(dir, 'ca.pem'), 'utf8'));
  return files;
}

function openssl(...args) {
  const done = spawnSync('openssl', args, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`openssl ${args[0]}: ${done.stderr || done.error}`);
}
