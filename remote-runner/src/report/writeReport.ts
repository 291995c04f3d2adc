/** The report of a run: one HTML file that shows everything without a network, a server, or this program. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TuneyardError } from '@protocol/errors';
import { collectReport } from './collectReport';

/**
 * Writes `report.html` into a run directory, from its `events.jsonl` and `recipe.json`.
 *
 * @returns the report's path
 * @throws TuneyardError `run_not_found` without events, `not_writable` where the file cannot be written, `internal`
 *   where the page's script was not built
 */
export async function writeReport(runDir: string): Promise<string> {
  const data = await collectReport(runDir);
  const [script, style] = await Promise.all([asset('report.js'), asset('report.css')]);
  const file = join(runDir, 'report.html');
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    const handle = await open(temporary, 'w');
    try {
      await handle.writeFile(page(`${data.run} · Tuneyard`, style, script, JSON.stringify(data)));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {});
    throw new TuneyardError('not_writable', 'the report could not be written; make the run directory writable.', {
      place: { file },
      cause,
    });
  }
  return file;
}

/** Script and style lie beside the bundled runner; one directory further for a runner that runs from its sources. */
async function asset(name: string): Promise<string> {
  const places = [`./${name}`, `../../dist/${name}`].map((path) => fileURLToPath(new URL(path, import.meta.url)));
  const file = places.find((place) => existsSync(place));
  if (!file) throw new TuneyardError('internal', `the report's ${name} is not built; run \`npm run build\`.`);
  return readFile(file, 'utf8');
}

/** The policy allows this very script and style and nothing else, whatever a prompt or a model's text may hold. */
function page(title: string, style: string, script: string, json: string): string {
  const hash = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  const policy = `default-src 'none'; script-src ${hash(script)}; style-src ${hash(style)}; img-src data:`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title.replace(/[&<>]/g, (char) => `&#${char.charCodeAt(0)};`)}</title>
<style>${style}</style>
</head>
<body>
<main></main>
<noscript>This report draws its charts with JavaScript, which is switched off here.</noscript>
<script type="application/json" id="data">${json.replaceAll('<', '\\u003c')}</script>
<script>${script}</script>
</body>
</html>
`;
}
