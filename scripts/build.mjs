/**
 * `npm run build`: the runner as one file (remote-runner/dist/cli.mjs), its watchdog for cloud VMs
 * (remote-runner/dist/watchdog.mjs), the report's page (remote-runner/dist/report.{js,css}), the panels' pages (dist/webview/), and the recipe's JSON Schema
 * (media/recipe.schema.json).
 */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LANGUAGES } from './l10n.mjs';
import { root } from './lib/command.mjs';
import { computeOnly } from './lib/computeBundle.mjs';
import { editorSchema, translateSchema } from './lib/editorSchema.mjs';
import { install } from './lib/install.mjs';
import { packExample } from './lib/packExample.mjs';

const bundle = { absWorkingDir: root, bundle: true, write: false, logLevel: 'warning', legalComments: 'none' };
/** What is shipped is read by nobody, but names stay: the log shows where an error came from. */
const SMALL = { minifyWhitespace: true, minifySyntax: true };
const alias = { '@protocol': join(root, 'src/protocol') };

/**
 * An import of a package that stays outside would stand at the bundle's top and run first: `tuneyard --help` would load
 * ONNX Runtime, and `tuneyard doctor` could not say that it does not load. A require is called where it is reached.
 * @type {import('esbuild').Plugin}
 */
const onnxRuntimeOnDemand = {
  name: 'onnxruntime-on-demand',
  setup({ onResolve, onLoad }) {
    const namespace = 'on-demand';
    onResolve({ filter: /^onnxruntime-node$/ }, ({ path, importer }) =>
      importer === path ? { path, external: true } : { path, namespace },
    );
    onLoad({ filter: /.*/, namespace }, ({ path }) => ({ contents: `module.exports = require('${path}');` }));
  },
};

/** Builds everything; `say` gets a line for each file. Says why and returns false where it fails. */
export async function build(say) {
  try {
    await buildAll(say);
    return true;
  } catch (error) {
    // What does not compile esbuild has shown already.
    if (!error.errors) process.stderr.write(`The build failed: ${error.stack ?? error}\n`);
    return false;
  }
}

async function buildAll(say) {
  // Not imported at the top: in a fresh clone it is there only after install().
  const { build: esbuild } = await import('esbuild');

  const runner = {
    ...bundle,
    alias,
    ...SMALL,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    external: ['koffi'],
    plugins: [onnxRuntimeOnDemand],
    // The modules of a package first: what some hold as `main` calls require in ways that no bundler can follow.
    mainFields: ['module', 'main'],
    // Packages written as CommonJS call require for Node's own modules.
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module';\nconst require = __createRequire(import.meta.url);",
    },
  };
  await save(
    'remote-runner/dist/cli.mjs',
    await esbuild({ ...runner, entryPoints: ['remote-runner/src/cli.ts'] }),
    say,
  );
  await save(
    'remote-runner/dist/watchdog.mjs',
    await esbuild({ ...runner, entryPoints: ['remote-runner/src/watchdog/main.ts'] }),
    say,
  );

  await buildReport(say);
  await buildPanels(say);
  await buildExtension(say);

  // Without the banner, because code from a data: URL has no place to require from.
  const schema = await esbuild({ ...runner, banner: {}, entryPoints: ['remote-runner/src/recipe/jsonSchema.ts'] });
  const code = Buffer.from(schema.outputFiles[0].contents).toString('base64');
  const { recipeJsonSchema } = await import(`data:text/javascript;base64,${code}`);
  const json = (value) => `${JSON.stringify(value, null, 2)}\n`;
  await saveText('media/recipe.schema.json', json(editorSchema(recipeJsonSchema())), say);
  for (const language of LANGUAGES) {
    const translated = await translateSchema(recipeJsonSchema(), language);
    await saveText(`media/recipe.schema.${language}.json`, json(editorSchema(translated)), say);
  }
  await packExample(say);
}

/**
 * The extension and the program that speaks to clouds. CommonJS, in which a package is run only where it is reached. ssh2 is as large as all the rest and
 * not needed before the first host: a bundle of its own, so that it is not even read. So is Google's library.
 */
export async function buildExtension(say) {
  const { build: esbuild } = await import('esbuild');
  // As in the runner: what some packages hold as `main` requires in ways that no bundler can follow.
  const mainFields = ['module', 'main'];
  const program = { ...bundle, alias, mainFields, platform: 'node', target: 'node20', format: 'cjs' };
  const entry = { ...program, ...SMALL, entryPoints: ['src/extension.ts'], external: ['vscode'], plugins: [ssh2Apart] };
  await save('dist/extension.cjs', await esbuild(entry), say);
  // It does without its native parts where they are not there.
  const ssh2 = { ...program, minify: true, entryPoints: ['ssh2'], external: ['cpu-features', '*.node'] };
  await save('dist/ssh2.cjs', await esbuild(ssh2), say);

  const main = 'src/cloud/cli/main.ts';
  const cloud = { ...program, ...SMALL, entryPoints: [main], plugins: [ssh2Apart, computeApart] };
  await save('dist/cloud.cjs', await esbuild(cloud), say);
  await saveText('dist/gce.cjs', await bundleCompute(), say);
}

/** Google's library, as far as it is used. */
export async function bundleCompute() {
  const { build: esbuild } = await import('esbuild');
  const plugins = [computeOnly(join(root, COMPUTE))];
  const options = { ...bundle, mainFields: ['module', 'main'], platform: 'node', target: 'node20', format: 'cjs' };
  // 64-bit numbers are known by the name of their class.
  const small = { minify: true, keepNames: true };
  const { outputFiles } = await esbuild({ ...options, ...small, entryPoints: [COMPUTE], plugins });
  return outputFiles[0].text;
}

const COMPUTE = 'src/cloud/gce/computeLibrary.mjs';

/** @type {import('esbuild').Plugin} */
const ssh2Apart = {
  name: 'ssh2-apart',
  setup: ({ onResolve }) => onResolve({ filter: /^ssh2$/ }, () => ({ path: './ssh2.cjs', external: true })),
};

/** @type {import('esbuild').Plugin} */
const computeApart = {
  name: 'compute-apart',
  setup: ({ onResolve }) =>
    onResolve({ filter: /\/computeLibrary\.mjs$/ }, ({ kind }) =>
      kind === 'entry-point' ? undefined : { path: './gce.cjs', external: true },
    ),
};

/** The report's page alone: its script and its style, which the runner puts into each report. */
export const buildReport = (say) => buildPages({ report: 'remote-runner/dist/report' }, say);

/** The panels' pages alone. */
export const buildPanels = (say) =>
  buildPages({ loss: 'dist/webview/loss', compare: 'dist/webview/compare', dataset: 'dist/webview/dataset' }, say);

/** `outs`: for each page of webview/panels/ where its script and its style go, without extension. */
async function buildPages(outs, say) {
  const { build: esbuild } = await import('esbuild');
  const page = { ...bundle, alias, platform: 'browser', target: 'es2022', format: 'iife', minify: true };
  for (const [name, out] of Object.entries(outs)) {
    for (const extension of ['js', 'css']) {
      const source = `webview/panels/${name}.${extension === 'js' ? 'ts' : 'css'}`;
      await save(`${out}.${extension}`, await esbuild({ ...page, entryPoints: [source] }), say);
    }
  }
}

const save = (path, { outputFiles }, say) => saveText(path, outputFiles[0].text, say);

/**
 * Written elsewhere and renamed, so that a `tuneyard` that starts meanwhile never reads half a file, and what packs the
 * extension meanwhile never meets one that is gone in a moment.
 */
async function saveText(path, text, say) {
  const file = join(root, path);
  await mkdir(dirname(file), { recursive: true });
  const temporary = join(root, 'node_modules/.cache/tuneyard', `${basename(path)}.${process.pid}`);
  await mkdir(dirname(temporary), { recursive: true });
  await writeFile(temporary, text);
  await rename(temporary, file);
  say(`${relative(root, file)}  ${(text.length / 1024).toFixed(0)} kB`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const say = (line) => process.stdout.write(`${line}\n`);
  if (!(await install(say))) process.exit(1);
  if (!(await build(say))) process.exit(1);
}
