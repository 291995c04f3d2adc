/**
 * `npm run l10n`: collects the texts of the extension (src) and its panels (webview) into l10n/bundle.l10n.json, takes out
 * of each translation what is no longer said, and lists what is not translated yet. Exit status 1 where something is
 * missing.
 */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from './lib/command.mjs';

const FOLDER = join(root, 'l10n');
export const LANGUAGES = ['zh-cn'];

/** Every text that a person may see, as `l10n.t` is given it. */
export async function collectTexts() {
  const { getL10nJson } = await import('@vscode/l10n-dev');
  const files = [];
  for (const folder of ['src', 'webview']) {
    for (const path of await readdir(join(root, folder), { recursive: true })) {
      if (!path.endsWith('.ts') || /(^|[\\/])(node_modules|dist)[\\/]/.test(path)) continue;
      files.push({ extension: '.ts', contents: await readFile(join(root, folder, path), 'utf8') });
    }
  }
  const found = await getL10nJson(files);
  return Object.fromEntries(Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1)));
}

async function main() {
  const texts = await collectTexts();
  await save('bundle.l10n.json', texts);
  let isComplete = true;
  for (const language of LANGUAGES) {
    const file = `bundle.l10n.${language}.json`;
    const old = JSON.parse(await readFile(join(FOLDER, file), 'utf8').catch(() => '{}'));
    const said = Object.keys(texts).filter((text) => text in old);
    await save(file, Object.fromEntries(said.map((text) => [text, old[text]])));
    const missing = Object.keys(texts).filter((text) => !(text in old));
    for (const text of missing) process.stdout.write(`${language}  ${JSON.stringify(text)}\n`);
    process.stdout.write(`${language}: ${said.length} of ${Object.keys(texts).length} texts translated\n`);
    isComplete &&= missing.length === 0;
  }
  return isComplete ? 0 : 1;
}

const save = (name, value) => writeFile(join(FOLDER, name), `${JSON.stringify(value, null, 2)}\n`);

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main();
