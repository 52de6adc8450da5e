// The whole story with CloudCLI, from an image that has everything: create, boot, prompts, leave, idle, gone.
import { story } from '../lab/story.mjs';

export const minutes = 12;

export default (lab) => story(lab, { webUi: 'cloudcli', idleMinutes: 2 });
