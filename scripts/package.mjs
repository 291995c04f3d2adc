/** `npm run package`: builds, and packs what a person installs: tuneyard-VERSION.vsix. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from './build.mjs';
import { root } from './lib/command.mjs';
import { install } from './lib/install.mjs';

const MAX_BYTES = 5e6;

/**
 * @param {string} [file] where to; default: tuneyard-VERSION.vsix in the root
 * @returns {Promise<string>} its path
 */
export async function packageExtension(file) {
  const { createVSIX } = await import('@vscode/vsce');
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  const packagePath = file ?? join(root, `tuneyard-${version}.vsix`);
  // All packages are in the bundles; links in README.md lead to files beside it.
  await createVSIX({
    cwd: root,
    packagePath,
    dependencies: false,
    allowMissingRepository: true,
    rewriteRelativeLinks: false,
  });
  const { size } = await stat(packagePath);
  if (size > MAX_BYTES) throw new Error(`${packagePath} has ${size} bytes; at most ${MAX_BYTES} are wanted`);
  return packagePath;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const say = (line) => process.stdout.write(`${line}\n`);
  if (!(await install(say)) || !(await build(() => {}))) process.exit(1);
  const path = await packageExtension();
  say(`${path}  ${((await stat(path)).size / 1e6).toFixed(2)} MB`);
}
