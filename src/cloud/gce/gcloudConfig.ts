/** What gcloud has been told: its active configuration, read as gcloud reads it (properties files, environment). */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

export interface GcloudConfig {
  folder: string;
  project?: string;
  account?: string;
}

export async function gcloudConfig(env: NodeJS.ProcessEnv): Promise<GcloudConfig> {
  const folder = gcloudFolder(env);
  const active = env.CLOUDSDK_ACTIVE_CONFIG_NAME || (await text(join(folder, 'active_config'))).trim() || 'default';
  // A name is a file's name: nothing else is looked for.
  const file = /^[a-z][-a-z0-9]*$/.test(active) ? join(folder, 'configurations', `config_${active}`) : undefined;
  const core = file ? section(await text(file), 'core') : {};
  const project = env.CLOUDSDK_CORE_PROJECT || core.project;
  const account = env.CLOUDSDK_CORE_ACCOUNT || core.account;
  return { folder, ...(project ? { project } : {}), ...(account ? { account } : {}) };
}

function gcloudFolder(env: NodeJS.ProcessEnv): string {
  if (env.CLOUDSDK_CONFIG) return env.CLOUDSDK_CONFIG;
  if (process.platform === 'win32' && env.APPDATA) return join(env.APPDATA, 'gcloud');
  return join(env.HOME || homedir(), '.config', 'gcloud');
}

async function text(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch {
    return '';
  }
}

/** `key = value` lines below `[name]`. */
function section(ini: string, name: string): Record<string, string> {
  const found: Record<string, string> = {};
  let inside = false;
  for (const line of ini.split(/\r?\n/)) {
    const header = /^\s*\[([^\]]+)\]/.exec(line)?.[1];
    if (header !== undefined) inside = header.trim() === name;
    const [, key, value] = /^\s*([^#;=\s][^=]*?)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (inside && key && value) found[key] = value;
  }
  return found;
}
