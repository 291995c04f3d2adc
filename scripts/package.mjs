/** `npm run package`: builds, and packs what a person installs: tuneyard-VERSION.vsix. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from './build.mjs';
import { node, root } from './lib/command.mjs';
import { install } from './lib/install.mjs';

const MAX_BYTES = 5e6;

/**
 * @param {string} [file] where to; default: tuneyard-VERSION.vsix in the root
 * @returns {Promise<string>} its path
 */
export async function packageExtension(file) {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  const path = file ?? join(root, `tuneyard-${version}.vsix`);
  // All packages are in the bundles; links in README.md lead to files beside it.
  const options = ['--no-dependencies', '--allow-missing-repository', '--no-rewrite-relative-links', '--out', path];
  if ((await node(['node_modules/@vscode/vsce/vsce', 'package', ...options], { quiet: true })) !== 0)
    throw new Error('vsce did not pack the extension; what it said stands above');
  const { size } = await stat(path);
  if (size > MAX_BYTES) throw new Error(`${path} has ${size} bytes; at most ${MAX_BYTES} are wanted`);
  return path;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const say = (line) => process.stdout.write(`${line}\n`);
  if (!(await install(say)) || !(await build(() => {}))) process.exit(1);
  const path = await packageExtension();
  say(`${path}  ${((await stat(path)).size / 1e6).toFixed(2)} MB`);
}
