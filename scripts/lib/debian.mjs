import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { command } from './command.mjs';

/** Installs the Debian packages that are not there where this may be done; whoever needs them looks whether they are. */
export async function installDebian(packages, say = () => {}) {
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return;
  const missing = packages.filter((name) => !isInstalled(name));
  if (missing.length === 0) return;
  say(`Installing ${missing.join(', ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args) => command('apt-get', args, { env, quiet: true });
  const install = () => apt('install', '-y', '--no-install-recommends', ...missing);
  if ((await install()) !== 0 && (await apt('update')) === 0) await install();
}

function isInstalled(name) {
  const { stdout } = spawnSync('/usr/bin/dpkg', ['--status', name], { encoding: 'utf8' });
  return /^Status: .* installed$/m.test(stdout);
}
