import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, open, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openModelDir } from '@runner/hub/modelDir';
import {
  findLastGood,
  listCheckpoints,
  type NamedTensor,
  pruneCheckpoints,
  readCheckpoint,
  recoverCheckpoints,
  writeCheckpoint,
  writeModelDir,
} from '@runner/train/checkpoint';
import { describe, expect, it } from 'vitest';
import { failure, temporaryFolders } from '../hub/support';
import { baseModel, checkpointOf, tensorsOf } from './fixtures';

const folder = temporaryFolders();

/** A root with checkpoints of the given steps. */
async function rootWith(...steps: number[]): Promise<{ root: string; base: string }> {
  const dir = await folder();
  const base = await baseModel(join(dir, 'base'));
  const root = join(dir, 'run', 'checkpoints');
  for (const step of steps) await writeCheckpoint(checkpointOf(root, base, step));
  return { root, base };
}

const blank = (tensors: readonly NamedTensor[]) =>
  tensors.map((tensor) => ({ ...tensor, data: new Float32Array(tensor.data.length) }));

describe('a checkpoint', () => {
  it('gives back the weights, the optimizer and the state bit for bit', async () => {
    const { root } = await rootWith(7);
    const checkpoint = await readCheckpoint(join(root, 'step-7'));
    const saved = tensorsOf(7);
    const weights = blank(saved.weights);
    const optimizer = blank(saved.optimizer);
    await checkpoint.loadWeights(weights);
    await checkpoint.loadOptimizer(optimizer);
    expect({ weights, optimizer }).toEqual(saved);
    expect([checkpoint.step, checkpoint.state]).toEqual([7, { step: 7, note: 'état' }]);
  });

  it('is a Hugging Face folder: config as it was but for the dtype, tokenizer and generation config copied, no pickle', async () => {
    const { root, base } = await rootWith();
    const { path, bytes } = await writeCheckpoint(checkpointOf(root, base, 3));
    const { config, generationConfig, weights } = await openModelDir(path);
    expect(config).toEqual({ model_type: 'gpt2', n_layer: 1, torch_dtype: 'float32', extra: { kept: [1, null] } });
    expect(generationConfig).toEqual({ eos_token_id: 0 });
    expect(weights.names().sort()).toEqual(['h.0.ln.bias', 'wte.weight']);
    const names = await readdir(path);
    expect(names.sort()).toEqual([
      'config.json',
      'generation_config.json',
      'manifest.json',
      'merges.txt',
      'model.safetensors',
      'optimizer.safetensors',
      'tokenizer.json',
      'trainer_state.json',
    ]);
    const sizes = await Promise.all(names.map(async (name) => (await readFile(join(path, name))).byteLength));
    expect(bytes).toBe(sizes.reduce((sum, size) => sum + size));
  });

  it('has a manifest with the size and the SHA-256 of every other file', async () => {
    const { root } = await rootWith(3);
    const path = join(root, 'step-3');
    const { files } = JSON.parse(await readFile(join(path, 'manifest.json'), 'utf8'));
    for (const name of (await readdir(path)).filter((file) => file !== 'manifest.json')) {
      const data = await readFile(join(path, name));
      expect(files[name], name).toEqual({
        bytes: data.length,
        sha256: createHash('sha256').update(data).digest('hex'),
      });
    }
  });

  it('replaces one of the same step, and leaves nothing else behind', async () => {
    const { root, base } = await rootWith(3);
    await writeCheckpoint({ ...checkpointOf(root, base, 3), state: 'second' });
    expect(await readdir(root)).toEqual(['step-3']);
    expect((await readCheckpoint(join(root, 'step-3'))).state).toBe('second');
  });

  it('that is cancelled leaves nothing behind and the old one in place', async () => {
    const { root, base } = await rootWith(3);
    const options = { ...checkpointOf(root, base, 3), state: 'second', signal: AbortSignal.abort() };
    expect((await failure(writeCheckpoint(options))).code).toBe('cancelled');
    expect(await readdir(root)).toEqual(['step-3']);
    expect((await findLastGood(root)).checkpoint?.step).toBe(3);
  });

  it('of another model is refused with the tensor named, and nothing is filled', async () => {
    const { root } = await rootWith(3);
    const checkpoint = await readCheckpoint(join(root, 'step-3'));
    const { weights } = tensorsOf(0);
    const [first, second] = blank(weights) as [NamedTensor, NamedTensor];
    const renamed = { ...second, name: 'lm_head' };
    const turned = { ...second, shape: [500, 2] };
    for (const [into, message] of [
      [[first, renamed], /no tensor "lm_head"/],
      [[first, turned], /"h\.0\.ln\.bias" has shape \[2, 500\] in this checkpoint and \[500, 2\]/],
      [[first], /a tensor "h\.0\.ln\.bias" that the model/],
    ] as const) {
      const error = await failure(checkpoint.loadWeights(into));
      expect(error.code).toBe('checkpoint_invalid');
      expect(error.message).toMatch(message);
    }
    expect(first.data.every((value) => value === 0)).toBe(true);
  });
});

describe('a run that goes on', () => {
  it('takes the newest checkpoint by number, not by name', async () => {
    const { root } = await rootWith(2, 10, 9);
    expect((await listCheckpoints(root)).map(({ step }) => step)).toEqual([2, 9, 10]);
    expect(await findLastGood(root)).toEqual({ checkpoint: { step: 10, path: join(root, 'step-10') }, skipped: [] });
  });

  it('finds nothing where there is nothing', async () => {
    const root = join(await folder(), 'none');
    expect(await listCheckpoints(root)).toEqual([]);
    expect(await recoverCheckpoints(root)).toEqual({ checkpoint: undefined, skipped: [] });
  });

  const flip = async (file: string, at: number) => {
    const handle = await open(file, 'r+');
    const byte = Buffer.alloc(1);
    await handle.read(byte, 0, 1, at);
    byte[0] = byte[0]! ^ 1;
    await handle.write(byte, 0, 1, at);
    await handle.close();
  };
  const damages: [string, (path: string) => Promise<unknown>, RegExp][] = [
    [
      'weights cut short',
      (path) => truncate(join(path, 'model.safetensors'), 300),
      /model\.safetensors has 300 bytes instead/,
    ],
    [
      'an optimizer of zero bytes',
      (path) => truncate(join(path, 'optimizer.safetensors')),
      /optimizer\.safetensors has 0 bytes/,
    ],
    [
      'one flipped bit in the weights',
      (path) => flip(join(path, 'model.safetensors'), 2000),
      /model\.safetensors does not have the bytes/,
    ],
    [
      'one flipped bit in the state',
      (path) => flip(join(path, 'trainer_state.json'), 3),
      /trainer_state\.json does not have/,
    ],
    ['no state', (path) => rm(join(path, 'trainer_state.json')), /trainer_state\.json is missing/],
    ['no manifest', (path) => rm(join(path, 'manifest.json')), /no manifest\.json/],
    ['half a manifest', (path) => truncate(join(path, 'manifest.json'), 40), /manifest\.json is damaged/],
    ['a manifest of something else', (path) => writeFile(join(path, 'manifest.json'), '{}'), /not one of Tuneyard/],
  ];
  it.each(damages)('uses the checkpoint before one with %s, and says why', async (_name, damage, reason) => {
    const { root } = await rootWith(1, 2);
    const path = join(root, 'step-2');
    await damage(path);
    const { checkpoint, skipped } = await findLastGood(root);
    expect(checkpoint?.step).toBe(1);
    expect(skipped).toEqual([{ path, reason: expect.stringMatching(reason) }]);
    const error = await failure(readCheckpoint(path));
    expect(error.code).toBe('checkpoint_invalid');
    expect(error.message).toMatch(reason);
  });

  it('says that every checkpoint is damaged instead of starting from one of them', async () => {
    const { root } = await rootWith(1, 2);
    for (const step of [1, 2]) await rm(join(root, `step-${step}`, 'manifest.json'));
    const { checkpoint, skipped } = await findLastGood(root);
    expect(checkpoint).toBeUndefined();
    expect(skipped.map(({ path }) => path)).toEqual([join(root, 'step-2'), join(root, 'step-1')]);
  });

  it('skips and removes what a crash left half-written, and says so', async () => {
    const { root } = await rootWith(1);
    const cut = join(root, 'step-2.tmp-4242');
    await mkdir(cut);
    await writeFile(join(cut, 'model.safetensors'), 'half');
    await mkdir(join(root, 'step-0.del-4242'));
    const skipped = [{ path: cut, reason: 'it was cut short while it was being written' }];
    expect((await findLastGood(root)).skipped).toEqual(skipped);
    expect((await readdir(root)).length).toBe(3);
    expect(await recoverCheckpoints(root)).toEqual({ checkpoint: { step: 1, path: join(root, 'step-1') }, skipped });
    expect(await readdir(root)).toEqual(['step-1']);
  });

  it('does not lose the only checkpoint to a crash in the instant of its replacement', async () => {
    const { root } = await rootWith(5);
    await rename(join(root, 'step-5'), join(root, 'step-5.old-4242'));
    await mkdir(join(root, 'step-5.tmp-4242'));
    const { checkpoint } = await recoverCheckpoints(root);
    expect((await readCheckpoint(checkpoint!.path)).step).toBe(5);
    expect(await readdir(root)).toEqual(['step-5']);
  });

  it('can be read by others while one of its checkpoints is being replaced', async () => {
    const { root } = await rootWith(4, 5);
    const old = join(root, 'step-5.old-4242');
    await rename(join(root, 'step-5'), old);
    expect((await findLastGood(root)).checkpoint).toEqual({ step: 5, path: old });
    expect(await readdir(root)).toEqual(['step-4', 'step-5.old-4242']);
  });

  it('removes the replaced one where its successor got its name', async () => {
    const { root } = await rootWith(5, 6);
    await rename(join(root, 'step-6'), join(root, 'step-5.old-4242'));
    await recoverCheckpoints(root);
    expect(await readdir(root)).toEqual(['step-5']);
  });
});

describe('save_total_limit', () => {
  const left = async (root: string) => (await listCheckpoints(root)).map(({ step }) => step);

  it('deletes the oldest, and says which', async () => {
    const { root } = await rootWith(1, 2, 3, 10);
    expect(await pruneCheckpoints(root, { limit: 2 })).toEqual([join(root, 'step-1'), join(root, 'step-2')]);
    expect(await readdir(root)).toEqual(['step-10', 'step-3']);
  });

  it('never deletes the best nor the last', async () => {
    const { root } = await rootWith(1, 2, 3, 4);
    await pruneCheckpoints(root, { limit: 1, best: 2 });
    expect(await left(root)).toEqual([2, 4]);
    const other = await rootWith(1, 2, 3, 4);
    await pruneCheckpoints(other.root, { limit: 2, best: 1, last: 2 });
    expect(await left(other.root)).toEqual([1, 2]);
  });

  it('deletes damaged ones before it deletes a good older one', async () => {
    const { root } = await rootWith(1, 2, 3, 4, 5);
    await truncate(join(root, 'step-3', 'optimizer.safetensors'), 100);
    const damaged = [join(root, 'step-4')];
    expect(await pruneCheckpoints(root, { limit: 3, damaged })).toEqual([join(root, 'step-3'), join(root, 'step-4')]);
    expect(await left(root)).toEqual([1, 2, 5]);
    // Few enough: they may still be mended by hand.
    await rm(join(root, 'step-2', 'manifest.json'));
    expect(await pruneCheckpoints(root, { limit: 3 })).toEqual([]);
    expect(await pruneCheckpoints(root, { limit: 2 })).toEqual([join(root, 'step-2')]);
  });

  it('keeps all where there is no limit or few enough', async () => {
    const { root } = await rootWith(1, 2);
    expect(await pruneCheckpoints(root, { limit: undefined })).toEqual([]);
    expect(await pruneCheckpoints(root, { limit: 2, best: 1 })).toEqual([]);
    expect(await left(root)).toEqual([1, 2]);
  });
});

describe('the final model', () => {
  const model = (dir: string, sourceDir: string, step: number) => {
    const { modelFiles, weights } = checkpointOf('', sourceDir, step);
    return { dir, ...modelFiles, weights };
  };

  it('is saved without the optimizer and replaces an earlier one as a whole', async () => {
    const { root, base } = await rootWith();
    const dir = join(root, 'model');
    await writeModelDir(model(dir, base, 1));
    await rm(join(base, 'merges.txt'));
    await writeModelDir(model(`${dir}/`, base, 2));
    expect(await readdir(root)).toEqual(['model']);
    expect((await readdir(dir)).sort()).toEqual([
      'config.json',
      'generation_config.json',
      'model.safetensors',
      'tokenizer.json',
    ]);
    const { weights } = await openModelDir(dir);
    expect(await weights.readFloat32('wte.weight')).toEqual(tensorsOf(2).weights[0]!.data);
  });

  it('takes away what killed processes left beside it, and nothing of living ones or of other models', async () => {
    const { root, base } = await rootWith();
    const killed = spawn(process.execPath, ['-e', '']);
    await once(killed, 'exit');
    for (const name of [
      `model.tmp-${killed.pid}`,
      `model.old-${killed.pid}`,
      `model.tmp-${process.ppid}`,
      `model2.tmp-${killed.pid}`,
      'model.old-fashioned',
    ]) {
      await mkdir(join(root, name), { recursive: true });
    }
    await writeModelDir(model(join(root, 'model'), base, 1));
    expect((await readdir(root)).sort()).toEqual(
      ['model', `model.tmp-${process.ppid}`, `model2.tmp-${killed.pid}`, 'model.old-fashioned'].sort(),
    );
  });

  it('goes into an empty folder', async () => {
    const { root, base } = await rootWith();
    await mkdir(join(root, 'model'), { recursive: true });
    await writeModelDir(model(join(root, 'model'), base, 1));
    expect((await openModelDir(join(root, 'model'))).weights.names().length).toBe(2);
  });

  it('never takes the place of a folder with other files', async () => {
    const { base, root } = await rootWith();
    const dir = join(root, 'thesis');
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, 'chapter1.tex'), 'years of work');
    const error = await failure(writeModelDir(model(dir, base, 1)));
    expect(error.code).toBe('not_writable');
    expect(error.message).toContain('"chapter1.tex"');
    expect(await readdir(dir)).toEqual(['chapter1.tex']);
  });
});
