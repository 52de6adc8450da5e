// The whole story with a terminal, from the provider's plain image: everything is installed while it boots.
import { story } from '../lab/story.mjs';

export const image = 'plain';
export const minutes = 15;

export default (lab) => story(lab, { webUi: 'ttyd', idleMinutes: 1 });
