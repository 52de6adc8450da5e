// What the lab boots and runs that this machine does not have: the guest images (image/build.mjs) and pebble. Kept in
// .cache/vm-lab. Which scenario takes which image, each says itself.
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { cacheDir, say } from '../run/prepare.mjs';
import { unpackDeb } from './debs.mjs';
import { guestImage } from './image/build.mjs';
import { codeServer } from './image/code-server.mjs';

/**
 * The image that a scenario boots, with the programs of the lab.
 * @param {'plain'|'warm'} kind `plain` is what a provider's image has; `warm` has also what a boot would install
 * @param {{withCodeServer?: boolean}} options
 */
export async function labImage(kind, { withCodeServer = false } = {}) {
  const image = await guestImage({ say, warm: kind === 'warm' });
  const layers = withCodeServer ? [await codeServer({ guestRoot: image.root, say })] : [];
  return { ...image, layers, pebble: await pebbleProgram() };
}

/** Let's Encrypt's test CA; the stable distribution's does not know profiles. */
async function pebbleProgram() {
  const dir = join(cacheDir(), 'vm-lab', 'pebble');
  const program = join(dir, 'usr/bin/pebble');
  if (!existsSync(program)) {
    mkdirSync(dir, { recursive: true });
    await unpackDeb({ suite: 'sid', name: 'pebble', to: dir });
  }
  return program;
}
