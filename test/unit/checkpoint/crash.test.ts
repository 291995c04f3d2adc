import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readCheckpoint, recoverCheckpoints } from '@runner/train/checkpoint';
import { build } from 'esbuild';
import { beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolders } from '../hub/support';
import { baseModel, tensorsOf } from './fixtures';

const folder = temporaryFolders();
const fromRepository = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
let source: string;

beforeAll(async () => {
  const result = await build({
    entryPoints: [fromRepository('test/unit/checkpoint/writerProcess.ts')],
    alias: { '@protocol': fromRepository('src/protocol'), '@runner': fromRepository('remote-runner/src') },
    bundle: true,
    platform: 'node',
    format: 'esm',
    write: false,
  });
  source = result.outputFiles[0]!.text;
});

/** Where in its work the writer is when it is killed: what lies in the unfinished checkpoint then. */
const moments = ['model.safetensors', 'optimizer.safetensors', 'trainer_state.json', 'manifest.json'];

describe('a run killed while it saves a checkpoint', () => {
  it.each(moments)('goes on from a whole one when %s had just been begun', async (moment) => {
    const dir = await folder();
    const root = join(dir, 'checkpoints');
    const base = await baseModel(join(dir, 'base'));
    const writer = spawn(process.execPath, ['--input-type=module', '-', root, base], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const exited = once(writer, 'exit');
    let finished = 0;
    writer.stdout.on('data', (text: Buffer) => {
      finished = Number(text.toString().trim().split('\n').at(-1));
    });
    writer.stdin.end(source);
    try {
      while (!(finished >= 1 && (await isWriting(root, moment)))) {
        expect(writer.exitCode).toBeNull();
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      writer.kill('SIGKILL');
      await exited;
    }

    const { checkpoint } = await recoverCheckpoints(root);
    expect(checkpoint!.step).toBeGreaterThanOrEqual(finished);
    for (const name of await readdir(root)) expect(name).toMatch(/^step-\d+$/);
    const saved = tensorsOf(checkpoint!.step, 500_000);
    const opened = await readCheckpoint(checkpoint!.path);
    expect(opened.state).toMatchObject({ step: checkpoint!.step });
    const weights = saved.weights.map((tensor) => ({ ...tensor, data: new Float32Array(tensor.data.length) }));
    await opened.loadWeights(weights);
    for (const [i, { data }] of weights.entries()) {
      expect(Buffer.from(data.buffer).equals(Buffer.from(saved.weights[i]!.data.buffer))).toBe(true);
    }
  });
});

async function isWriting(root: string, file: string): Promise<boolean> {
  for (const name of await readdir(root)) {
    if (!name.includes('.tmp-')) continue;
    // Gone again between the two looks: the next round sees another.
    if ((await readdir(join(root, name)).catch((): string[] => [])).includes(file)) return true;
  }
  return false;
}
