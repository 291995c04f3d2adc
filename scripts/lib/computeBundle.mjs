/** What makes Google's library, 28 MB as it comes, small enough to be carried along. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { root } from './command.mjs';

const require = createRequire(join(root, 'package.json'));

/** The services whose clients src/cloud/gce/computeLibrary.mjs has: `InstancesClient` → `Instances`. */
async function servicesOf(library) {
  const source = await readFile(library, 'utf8');
  return [...source.matchAll(/^import \{ (\w+)Client \} from '@google-cloud\/compute\//gm)].map(
    ([, service]) => service,
  );
}

/**
 * @param {string} library path of computeLibrary.mjs
 * @returns {import('esbuild').Plugin}
 */
export function computeOnly(library) {
  return {
    name: 'compute-only',
    setup({ onResolve, onLoad }) {
      const gax = dirname(require.resolve('google-gax'));
      // The clients ask for all of google-gax, gRPC included, for two functions.
      onResolve({ filter: /^google-gax$/ }, ({ importer }) =>
        importer.includes('@google-cloud') ? { path: 'google-gax', namespace: 'gax' } : undefined,
      );
      onLoad({ filter: /.*/, namespace: 'gax' }, () => ({
        resolveDir: gax,
        contents: `exports.loggingUtils = require('google-logging-utils');
          exports.decodeAnyProtosInArray = require('./util').decodeAnyProtosInArray;`,
      }));
      // Messages of other services, as code: 2 MB that only gRPC and long-running operations of other kinds use.
      onLoad({ filter: /google-gax[\\/]build[\\/]protos[\\/](iam_service|locations|operations)\.js$/ }, () => ({
        contents: 'module.exports = {};',
      }));
      onLoad({ filter: /@google-cloud[\\/]compute[\\/]build[\\/]protos[\\/]protos\.json$/ }, async ({ path }) => ({
        contents: JSON.stringify(pruned(JSON.parse(await readFile(path, 'utf8')), await servicesOf(library))),
        loader: 'json',
      }));
    },
  };
}

/** Message definitions (as protobufjs has them) cut down to what services reach. */
function pruned(definitions, services) {
  const { google } = definitions.nested;
  const { compute } = google.nested.cloud.nested;
  const all = compute.nested.v1.nested;
  const kept = {};
  const keep = (type) => {
    const name = type.replace(/^\.?google\.cloud\.compute\.v1\./, '').split('.')[0];
    if (!all[name] || kept[name]) return;
    kept[name] = all[name];
    keepFields(all[name]);
  };
  const keepFields = ({ fields = {}, nested = {} }) => {
    for (const { type } of Object.values(fields)) keep(type);
    for (const message of Object.values(nested)) keepFields(message);
  };
  for (const service of services) {
    kept[service] = all[service];
    for (const { requestType, responseType } of Object.values(all[service].methods)) {
      keep(requestType);
      keep(responseType);
    }
  }
  compute.nested = { v1: { ...compute.nested.v1, nested: kept } };
  return definitions;
}
