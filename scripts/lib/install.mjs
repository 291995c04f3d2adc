import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { command, root } from './command.mjs';

/**
 * Installs the packages that package-lock.json names, where they are not there already. Uses Node's own modules only,
 * because it is the first thing that runs in a fresh clone.
 * @param {(line: string) => void} say
 * @returns {Promise<boolean>} false where npm failed; it has said why
 */
export async function install(say) {
  const [major] = process.versions.node.split('.').map(Number);
  if (major < 20) {
    process.stderr.write(`Tuneyard needs Node 20 or newer; this is ${process.version}.\n`);
    return false;
  }
  if (isInstalled()) return true;
  say('Installing packages');
  // Its install script fetches CUDA libraries; only where somebody asks for them is that wanted.
  const cuda = process.env.ONNXRUNTIME_NODE_INSTALL ?? 'skip';
  const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: cuda };
  if ((await command('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { env, quiet: true })) !== 0)
    return false;
  if (cuda === 'skip') return true;
  say('Fetching the CUDA libraries of onnxruntime-node');
  return (await command('npm', ['rebuild', 'onnxruntime-node', '--ignore-scripts=false'], { env, quiet: true })) === 0;
}

/**
 * Whether node_modules holds what package-lock.json asks for. npm keeps in node_modules/.package-lock.json what it
 * installed: the same entries, without those of the root, of the workspaces, and of other platforms.
 */
function isInstalled() {
  const installedFile = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installedFile)) return false;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages;
  return Object.entries(wanted).every(([path, entry]) => {
    if (!path.includes('node_modules/') || entry.link || entry.optional) return true;
    return installed[path]?.version === entry.version && existsSync(join(root, path, 'package.json'));
  });
}
