import { existsSync } from 'node:fs';
import { command } from './command.mjs';

/** Installs Debian packages where this may be done; whoever needs them looks whether they are there. */
export async function installDebian(packages, say = () => {}) {
  if (packages.length === 0 || process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return;
  say(`Installing ${packages.join(', ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args) => command('apt-get', args, { env, quiet: true });
  const install = () => apt('install', '-y', '--no-install-recommends', ...packages);
  if ((await install()) !== 0 && (await apt('update')) === 0) await install();
}
