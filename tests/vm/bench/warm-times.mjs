// A boot of an image that has everything already: what is left is our own part, and the devcontainer.
import { times } from './times.mjs';

export const minutes = 10;

export default (lab) => times(lab, { label: 'warm', webUi: 'cloudcli' });
