// A boot of the provider's plain image: every package and program is downloaded.
import { times } from './times.mjs';

export const image = 'plain';
export const minutes = 20;

export default (lab) => times(lab, { label: 'plain', webUi: 'ttyd' });
