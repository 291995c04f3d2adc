import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type DownloadProgress, type ResolveModelOptions, resolveModel } from '@runner/hub/download';
import { openModelDir } from '@runner/hub/modelDir';
import { saveSafetensors } from '@runner/hub/saveSafetensors';
import { afterEach, describe, expect, it } from 'vitest';
import { StandInHub } from './standInHub';
import { failure, temporaryFolders } from './support';

const folder = temporaryFolders();
const repo = 'someone/tiny-model';
const token = 'hf_thisIsASecretThatMustNotLeak';
let hub: StandInHub;
afterEach(() => hub?.stop());

async function weightsFile(values = 50_000, name = 'w'): Promise<Buffer> {
  const file = join(await folder(), 'w.safetensors');
  await saveSafetensors(file, [{ name, shape: [values], data: Float32Array.from({ length: values }, (_, i) => i) }]);
  return readFile(file);
}

/** A hub with one whole model and the files beside it that nobody needs. */
async function startHub(
  changes: Record<string, Buffer | string | undefined> = {},
  wrongChecksum?: string,
): Promise<void> {
  const files = new Map<string, Buffer>();
  const all: Record<string, Buffer | string | undefined> = {
    '.gitattributes': 'x',
    'README.md': 'read me',
    'config.json': '{"model_type":"gpt2"}',
    'model.safetensors': await weightsFile(),
    'pytorch_model.bin': 'pickle',
    'tokenizer.json': '{}',
    'flax_model.msgpack': 'flax',
    ...changes,
  };
  for (const [name, data] of Object.entries(all)) if (data !== undefined) files.set(name, Buffer.from(data));
  hub = new StandInHub(repo, files, wrongChecksum);
  await hub.start();
}

async function settings(
  env: Record<string, string> = {},
): Promise<ResolveModelOptions & { env: Record<string, string> }> {
  return {
    baseDir: await folder(),
    retryDelayMs: 1,
    env: { HF_ENDPOINT: hub.endpoint, TUNEYARD_CACHE: await folder(), ...env },
  };
}

const visible = async (dir: string) => (await readdir(dir)).filter((name) => !name.startsWith('.')).sort();

describe('a model from the hub', () => {
  it('arrives with the files that are needed and none of the others', async () => {
    await startHub();
    const dir = await resolveModel(repo, await settings());
    expect(await visible(dir)).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    const { weights } = await openModelDir(dir);
    expect((await weights.readFloat32('w'))[49_999]).toBe(49_999);
  });

  it('comes without its weights for who only looks at data, and with them for who trains after', async () => {
    await startHub();
    const options = await settings();
    const dir = await resolveModel(repo, { ...options, tokenizerOnly: true });
    expect(await visible(dir)).toEqual(['config.json', 'tokenizer.json']);
    expect(hub.requests.some(({ path }) => path.includes('model.safetensors'))).toBe(false);
    expect(await resolveModel(repo, options)).toBe(dir);
    expect(await visible(dir)).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
  });

  it('is not fetched a second time', async () => {
    await startHub();
    const options = await settings();
    const dir = await resolveModel(repo, options);
    const before = hub.requests.length;
    expect(await resolveModel(repo, options)).toBe(dir);
    expect(hub.requests.slice(before).map(({ path }) => path)).toEqual([`/api/models/${repo}/revision/main`]);
    expect(await resolveModel(repo, { ...options, revision: hub.commit })).toBe(dir);
    expect(hub.requests.length).toBe(before + 1);
  });

  it('comes from a revision with slashes in its name', async () => {
    await startHub();
    const options = await settings();
    const dir = await resolveModel(repo, { ...options, revision: 'refs/pr/1' });
    await hub.stop();
    expect(await resolveModel(repo, { ...options, revision: 'refs/pr/1' })).toBe(dir);
  });

  it('tells how far it is, never going back, up to the whole', async () => {
    await startHub();
    const seen: DownloadProgress[] = [];
    await resolveModel(repo, { ...(await settings()), onProgress: (progress) => seen.push(progress) });
    expect(seen.every(({ bytes }, i) => i === 0 || bytes >= seen[i - 1]!.bytes)).toBe(true);
    const last = seen.at(-1)!;
    expect(last.bytes).toBe(last.totalBytes);
    expect(last).toMatchObject({
      repo,
      file: 'model.safetensors',
      fileTotalBytes: hub.files.get('model.safetensors')!.length,
    });
  });

  it('comes with all shards of its index, and their sizes in the progress', async () => {
    const one = 'model-00001-of-00002.safetensors';
    const other = 'model-00002-of-00002.safetensors';
    await startHub({
      'model.safetensors': undefined,
      'model.safetensors.index.json': JSON.stringify({ weight_map: { a: one, b: other } }),
      [one]: await weightsFile(5000, 'a'),
      [other]: await weightsFile(6000, 'b'),
      'model.fp16.safetensors': 'variant',
    });
    const dir = await resolveModel(repo, await settings());
    expect((await openModelDir(dir)).weights.names().sort()).toEqual(['a', 'b']);
    expect(await visible(dir)).not.toContain('model.fp16.safetensors');
  });

  it('arrives whole for two that ask at once', async () => {
    await startHub();
    const options = await settings();
    const [one, other] = await Promise.all([resolveModel(repo, options), resolveModel(repo, options)]);
    expect(one).toBe(other);
    expect(hub.fetches('model.safetensors').length).toBe(1);
  });
});

describe('a download over a bad network', () => {
  it('goes on where the connection dropped, as often as needed', async () => {
    await startHub();
    hub.drop = { file: 'model.safetensors', afterBytes: 20_000, times: 8 };
    const dir = await resolveModel(repo, await settings());
    expect(await readFile(join(dir, 'model.safetensors'))).toEqual(hub.files.get('model.safetensors'));
    const starts = hub
      .fetches('model.safetensors')
      .map(({ range }) => Number(/^bytes=(\d+)-$/.exec(range ?? 'bytes=0-')?.[1]));
    expect(starts[0]).toBe(0);
    expect(starts.every((start, i) => i === 0 || start >= starts[i - 1]!)).toBe(true);
    expect(starts.at(-1)).toBeGreaterThan(0);
  });

  it('goes on where an earlier, killed process stopped', async () => {
    await startHub();
    const options = await settings();
    const dir = join(options.env.TUNEYARD_CACHE!, 'hub', 'models--someone--tiny-model', 'snapshots', hub.commit);
    await mkdir(dir, { recursive: true });
    const killed = spawn(process.execPath, ['-e', '']);
    await once(killed, 'exit');
    const data = hub.files.get('model.safetensors')!;
    const host = hostname().replace(/[^\w.]/g, '_');
    await writeFile(join(dir, `model.safetensors.partial-${host}-${killed.pid}`), data.subarray(0, 77_777));
    expect(await resolveModel(repo, options)).toBe(dir);
    expect(hub.fetches('model.safetensors').map(({ range }) => range)).toEqual(['bytes=77777-']);
    expect(await visible(dir)).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
  });

  it('begins anew at a server that knows no ranges', async () => {
    await startHub();
    hub.ignoreRanges = true;
    hub.drop = { file: 'model.safetensors', afterBytes: 50_000, times: 1 };
    const dir = await resolveModel(repo, await settings());
    expect(await readFile(join(dir, 'model.safetensors'))).toEqual(hub.files.get('model.safetensors'));
  });

  it('tries again when the hub is overloaded for a moment', async () => {
    await startHub();
    let failures = 3;
    hub.status = (path) => (path.endsWith('config.json') && failures-- > 0 ? 503 : undefined);
    await resolveModel(repo, await settings());
    expect(hub.fetches('config.json').length).toBe(4);
  });

  it('gives up on a hub that stays broken, and says with what', async () => {
    await startHub();
    hub.status = () => 502;
    const error = await failure(resolveModel(repo, await settings()));
    expect(error.code).toBe('hub_failed');
    expect(error.message).toContain('status 502');
  });

  it('settles at once when cancelled, and goes on from there later', async () => {
    await startHub();
    hub.stall = 'model.safetensors';
    const options = await settings();
    const stop = new AbortController();
    const onProgress = ({ file, fileBytes }: DownloadProgress) => {
      if (file === 'model.safetensors' && fileBytes > 0) stop.abort();
    };
    const error = await failure(resolveModel(repo, { ...options, signal: stop.signal, onProgress }));
    expect(error.code).toBe('cancelled');
    hub.stall = undefined;
    await resolveModel(repo, options);
    expect(hub.fetches('model.safetensors').at(-1)?.range).toBe('bytes=1000-');
  });

  it('uses the copy in the cache when the hub is out of reach, and says so', async () => {
    await startHub();
    const options = await settings();
    const dir = await resolveModel(repo, options);
    await hub.stop();
    const warnings: string[] = [];
    expect(await resolveModel(repo, { ...options, onWarning: (message) => warnings.push(message) })).toBe(dir);
    expect(warnings.join()).toContain('out of reach');
    await truncate(join(dir, 'model.safetensors'), 10);
    expect((await failure(resolveModel(repo, options))).message).toContain('ECONNREFUSED');
  });

  it('makes no request with HF_HUB_OFFLINE', async () => {
    await startHub();
    const options = await settings();
    const offline = { ...options, env: { ...options.env, HF_HUB_OFFLINE: '1' } };
    expect((await failure(resolveModel(repo, offline))).message).toContain('HF_HUB_OFFLINE');
    expect(hub.requests).toEqual([]);
    const dir = await resolveModel(repo, options);
    const before = hub.requests.length;
    expect(await resolveModel(repo, offline)).toBe(dir);
    expect(hub.requests.length).toBe(before);
  });
});

describe('a download that is not what it should be', () => {
  it.each(['model.safetensors', 'tokenizer.json'])('with a wrong checksum of %s is thrown away', async (file) => {
    await startHub({}, file);
    const options = await settings();
    for (let attempt = 1; attempt <= 2; attempt++) {
      const error = await failure(resolveModel(repo, options));
      expect(error.code).toBe('hub_failed');
      expect(error.message).toContain(`${file} of ${repo} does not have the checksum`);
    }
    expect(hub.fetches(file).map(({ range }) => range)).toEqual([undefined, undefined]);
  });

  it('is refused where the weights are only pickled, before anything is fetched', async () => {
    await startHub({ 'model.safetensors': undefined });
    const error = await failure(resolveModel(repo, await settings()));
    expect(error.code).toBe('weights_pickled');
    expect(error.message).toContain('pytorch_model.bin');
    expect(hub.requests.some(({ path }) => path.includes('/resolve/'))).toBe(false);
  });

  it('is refused without a config or without weights', async () => {
    await startHub({ 'config.json': undefined });
    expect((await failure(resolveModel(repo, await settings()))).message).toContain('config.json');
    await hub.stop();
    await startHub({ 'model.safetensors': undefined, 'pytorch_model.bin': undefined });
    expect((await failure(resolveModel(repo, await settings()))).code).toBe('model_invalid');
  });

  it.each(['../../../escaped.safetensors', '/tmp/escaped.safetensors', '..\\escaped.safetensors'])(
    'cannot write outside its folder by an index that names %j',
    async (shard) => {
      const index = JSON.stringify({ weight_map: { a: shard } });
      await startHub({
        'model.safetensors': undefined,
        'model.safetensors.index.json': index,
        [shard]: await weightsFile(),
      });
      const error = await failure(resolveModel(repo, await settings()));
      expect(error.code).toBe('weights_invalid');
      expect(hub.fetches('escaped.safetensors')).toEqual([]);
    },
  );

  it('is refused where an index names a shard that is not there', async () => {
    const index = JSON.stringify({ weight_map: { a: 'model-2.safetensors' } });
    await startHub({ 'model.safetensors': undefined, 'model.safetensors.index.json': index });
    expect((await failure(resolveModel(repo, await settings()))).message).toContain('"model-2.safetensors"');
  });
});

describe('the token', () => {
  it('goes to the hub with every request and never to where the hub redirects', async () => {
    await startHub();
    await resolveModel(repo, await settings({ HF_TOKEN: token }));
    const sent = (origin: string) =>
      new Set(hub.requests.filter((r) => r.origin === origin).map((r) => r.authorization));
    expect([...sent('hub')]).toEqual([`Bearer ${token}`]);
    expect([...sent('cdn')]).toEqual([undefined]);
  });

  it('does not go to another origin that the listing links to', async () => {
    await startHub();
    hub.listElsewhere = true;
    await resolveModel(repo, await settings({ HF_TOKEN: token }));
    const elsewhere = hub.requests.filter(({ origin, path }) => origin === 'cdn' && path.includes('/tree/'));
    expect(elsewhere.length).toBeGreaterThan(0);
    expect(elsewhere.every(({ authorization }) => authorization === undefined)).toBe(true);
  });

  it.each([
    [401, /401.*refuses the token|refuses the token.*401/],
    [403, /accept the model’s conditions/],
    [404, /no model of that name/],
    [418, /status 418/],
  ])('is in no error, also where the server repeats it (%i)', async (status, message) => {
    await startHub();
    hub.status = () => status;
    const error = await failure(resolveModel(repo, await settings({ HF_TOKEN: token })));
    expect(error.code).toBe('hub_failed');
    expect(error.message).toMatch(message);
    expect(error.data.status).toBe(status);
    const everything = JSON.stringify(error) + error.stack + String(error.cause);
    expect(everything).not.toContain(token);
    expect(hub.requests.length).toBe(1);
  });

  it('is asked for where a model is gated or private', async () => {
    await startHub();
    for (const status of [401, 403]) {
      hub.status = () => status;
      expect((await failure(resolveModel(repo, await settings()))).message).toContain('set HF_TOKEN');
    }
  });
});

describe('what a recipe calls its model', () => {
  it('is a folder relative to the recipe before it is a name on the hub', async () => {
    await startHub();
    const options = await settings();
    const dir = join(options.baseDir!, repo);
    await mkdir(dir, { recursive: true });
    expect(await resolveModel(repo, options)).toBe(dir);
    expect(await resolveModel(dir, options)).toBe(dir);
    expect(hub.requests).toEqual([]);
  });

  it.each([
    './models/x',
    '../no-such-folder/x',
    '/no/such/model',
    'a/b/c',
    '~/no-such-model-here',
    'a..b/c',
    'x y',
    '-x/y',
    '',
  ])('is never asked of the hub when it is a path: %j', async (name) => {
    await startHub();
    const options = await settings();
    const missing = name === '' ? 'nowhere/at/all' : name;
    expect((await failure(resolveModel(missing, options))).code).toBe('file_not_found');
    expect(hub.requests).toEqual([]);
  });

  it('names both the folder and the hub where neither has it', async () => {
    await startHub();
    const options = await settings();
    const error = await failure(resolveModel('someone/else', options));
    expect(error.message).toContain(join(options.baseDir!, 'someone/else'));
    expect(error.message).toContain(`${hub.endpoint}/someone/else`);
  });

  it('is not a file', async () => {
    await startHub();
    const options = await settings();
    await writeFile(join(options.baseDir!, 'model.gguf'), '');
    expect((await failure(resolveModel('model.gguf', options))).code).toBe('model_invalid');
  });

  it.each(['..', '../../x', 'a b', '/main'])('cannot have the revision %j', async (revision) => {
    await startHub();
    expect((await failure(resolveModel(repo, { ...(await settings()), revision }))).code).toBe('hub_failed');
    expect(hub.requests).toEqual([]);
  });

  it.each(['hub.example', 'ftp://hub.example', 'https://user:secret@hub.example'])(
    'cannot be fetched from HF_ENDPOINT=%s',
    async (endpoint) => {
      await startHub();
      const error = await failure(resolveModel(repo, await settings({ HF_ENDPOINT: endpoint })));
      expect(error.message).toContain('HF_ENDPOINT must be an address');
      expect(error.message).not.toContain('secret');
    },
  );
});
