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

/**
 * Every text that a person may see, as `l10n.t` is given it, by the key that a translation has for it.
 * @throws Error for a text that is put together and so cannot be looked up
 */
export async function collectTexts() {
  const { parseSync } = await import('oxc-parser');
  const texts = new Map();
  for (const folder of ['src', 'webview']) {
    for (const path of await readdir(join(root, folder), { recursive: true })) {
      if (!path.endsWith('.ts') || /(^|[\\/])(node_modules|dist)[\\/]/.test(path)) continue;
      const source = await readFile(join(root, folder, path), 'utf8');
      if (!source.includes('l10n.t(')) continue;
      visit(parseSync(path, source).program, (call) => {
        const text = textOf(call);
        if (!text)
          throw new Error(`${folder}/${path}: l10n.t takes a text as it stands: ${source.slice(call.start, call.end)}`);
        texts.set(text.key, text.value);
      });
    }
  }
  return Object.fromEntries([...texts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Calls of `l10n.t` and `vscode.l10n.t`. */
function visit(node, found) {
  if (typeof node !== 'object' || node === null) return;
  const { type, callee } = node;
  if (type === 'CallExpression' && callee.type === 'MemberExpression' && callee.property.name === 't') {
    if ((callee.object.property ?? callee.object).name === 'l10n') found(node);
  }
  for (const child of Object.values(node)) visit(child, found);
}

function textOf({ arguments: [first] }) {
  if (first?.type === 'Literal') return { key: first.value, value: first.value };
  if (first?.type !== 'ObjectExpression') return undefined;
  const part = (name) => first.properties.find(({ key }) => key.name === name)?.value;
  const message = part('message')?.value;
  const comment = part('comment');
  const comments = comment?.type === 'ArrayExpression' ? comment.elements.map(({ value }) => value) : [comment?.value];
  return { key: `${message}/${comments.join('')}`, value: { message, comment: comments } };
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
