/** Bad input as a person meets it: one clear sentence, the right exit status, and nothing half-written. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { cp, mkdtemp, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunEvent } from '@protocol/events';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { tinyProject, tuneyard } from '../unit/cli/support';
import { rawSafetensors, temporaryFolders } from '../unit/hub/support';

const folder = temporaryFolders();
let sound: string;
let dir: string;
let runDir: string;

beforeAll(async () => {
  sound = await mkdtemp(join(tmpdir(), 'tuneyard-bad-input-'));
  await tinyProject(sound);
});
afterAll(() => rm(sound, { recursive: true, force: true }));

beforeEach(async () => {
  dir = await folder();
  await cp(sound, dir, { recursive: true });
  runDir = join(dir, 'run');
  vi.stubEnv('TUNEYARD_HOME', join(dir, 'home'));
  vi.stubEnv('HF_ENDPOINT', 'http://127.0.0.1:9');
  return () => vi.unstubAllEnvs();
});

const at = (...names: string[]) => join(dir, ...names);
const train = (...settings: string[]) =>
  tuneyard(['train', at('tiny.tune.json'), '--run-dir', runDir, ...settings.flatMap((setting) => ['--set', setting])]);
const events = (): RunEvent[] =>
  readFileSync(join(runDir, 'events.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as RunEvent);

/** Changes one line of the data. */
async function dataLine(line: number, text: string | Buffer): Promise<void> {
  const lines = (await readFile(at('data.jsonl'), 'utf8')).split('\n');
  const before = lines.slice(0, line - 1).map((row) => `${row}\n`);
  const after = lines.slice(line).join('\n');
  await writeFile(
    at('data.jsonl'),
    Buffer.concat([Buffer.from(before.join('')), Buffer.from(text), Buffer.from(`\n${after}`)]),
  );
}

async function editJson(file: string, edit: (value: Record<string, unknown>) => unknown): Promise<void> {
  const value = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
  await writeFile(file, JSON.stringify(edit(value) ?? value));
}

const config = (more: Record<string, unknown>) => editJson(at('model', 'config.json'), (all) => ({ ...all, ...more }));

type Tensor = { dtype: string; shape: number[]; data_offsets: [number, number] };

/** Changes what the weights' header says and leaves the values as they are. */
async function editHeader(edit: (header: Record<string, Tensor>) => void): Promise<void> {
  const bytes = await readFile(at('model', 'model.safetensors'));
  const end = 8 + Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString('utf8', 8, end)) as Record<string, Tensor>;
  edit(header);
  await writeFile(at('model', 'model.safetensors'), rawSafetensors(header, bytes.subarray(end)));
}

const LAST = 'transformer.ln_f.bias';

/** One sentence for a person, which is no fault of ours and has no trace of the code. */
function expectOneSentence(stderr: string, message: RegExp): void {
  expect(stderr).toMatch(message);
  expect(stderr.trim().split('\n')).toHaveLength(1);
  expect(stderr).not.toMatch(/a fault in Tuneyard|undefined|\[object/);
}

/** The run says why it failed, and holds nothing else. */
function expectOnlyTheRecord(): void {
  const left = readdirSync(runDir).filter((name) => !name.startsWith('run.lock'));
  expect(left.sort()).toEqual(['events.jsonl', 'recipe.json', 'runner.log']);
  expect(events()).toMatchObject([{ type: 'end', status: 'failed', step: 0 }]);
}

type Case = [name: string, spoil: () => Promise<unknown>, message: RegExp, ...settings: string[]];

async function expectRefused([, spoil, message, ...settings]: Case): Promise<void> {
  await spoil();
  const { status, stderr } = await train(...settings);
  expectOneSentence(stderr, message);
  expect(status).toBe(2);
  expectOnlyTheRecord();
}

const nothing = async () => {};

describe('data that cannot be trained on is refused before training, by name and line', () => {
  it.each<Case>([
    ['a column that is not there', nothing, /data\.jsonl: .*"targt".*"target"/, 'dataset.template={text}{targt}'],
    ['a target column that is not there', nothing, /data\.jsonl: .*"reply"/, 'dataset.target_column=reply'],
    ['a template with a brace too many', nothing, /template/, 'dataset.template={text}}'],
    ['broken JSON on line 7', () => dataLine(7, '{"text": "a mage", '), /data\.jsonl:7(:\d+)?: /],
    ['a row that is no object', () => dataLine(9, '"a mage"'), /data\.jsonl:9(:\d+)?: /],
    ['bytes that are not UTF-8', () => dataLine(5, Buffer.from([0x22, 0xe9, 0x22])), /data\.jsonl:5(:\d+)?: .*UTF-8/],
    [
      'a row with nothing to learn',
      () => dataLine(8, '{"text":"a mage","target":""}'),
      /data\.jsonl:8: /,
      'dataset.append_eos=false',
    ],
    ['a row without a value', () => dataLine(8, '{"text":"a mage","target":null}'), /data\.jsonl:8: .*target/],
    [
      'a prompt that fills the whole length',
      () => dataLine(6, `{"text":"${'a mage '.repeat(80)}","target":"x"}`),
      /data\.jsonl:6: /,
    ],
    [
      'a prompt for sample texts that the model has no positions for',
      nothing,
      /Prompt 2 has \d+ tokens and the model has \d+ positions/,
      `generation.prompts=${JSON.stringify(['a mage', 'a mage '.repeat(400)])}`,
    ],
    ['an empty file', () => writeFile(at('data.jsonl'), ''), /data\.jsonl: /],
    ['a file of blank lines', () => writeFile(at('data.jsonl'), '\n \n\n'), /data\.jsonl: /],
    ['all rows held out', nothing, /data\.jsonl: /, 'dataset.test_size=1'],
    ['no evaluation file', nothing, /test\.jsonl: there is no such/, 'dataset.test_path=test.jsonl'],
    ['a folder', nothing, /model: .*ending/, 'dataset.path=model'],
    ['a picture', () => writeFile(at('a.png'), '\x89PNG'), /a\.png: /, 'dataset.path=a.png'],
    [
      'a Parquet file that is none',
      () => writeFile(at('a.parquet'), 'PAR1 no'),
      /a\.parquet: /,
      'dataset.path=a.parquet',
    ],
  ])('%s', (...row) => expectRefused(row));
});

describe('a model that cannot be trained is refused before training, by file and tensor', () => {
  const weights = () => at('model', 'model.safetensors');
  it.each<Case>([
    ['truncated weights', () => truncate(weights(), 9000), /model\.safetensors: /],
    ['weights that end within the header', () => truncate(weights(), 100), /model\.safetensors: /],
    ['empty weights', () => truncate(weights(), 0), /model\.safetensors: /],
    [
      'a header that points outside the file',
      () =>
        editHeader((h) => {
          h[LAST]!.data_offsets = [1e9, 1e9 + 96];
        }),
      /model\.safetensors: /,
    ],
    [
      'a missing tensor',
      () =>
        editHeader((h) => {
          h['lm_head.weight'] = h[LAST]!;
          delete h[LAST];
        }),
      /ln_f\.bias/,
    ],
    [
      'a wrong shape',
      () =>
        editHeader((h) => {
          h[LAST]!.shape = [4, 6];
        }),
      /ln_f\.bias.*4.*6.*24/,
    ],
    [
      'whole numbers for weights',
      () =>
        editHeader((h) => {
          h[LAST]!.dtype = 'I32';
        }),
      /ln_f\.bias.*I32/,
    ],
    [
      'a tensor of no use',
      () =>
        editHeader((h) => {
          h['adapter.weight'] = h[LAST]!;
          delete h[LAST];
        }),
      /ln_f\.bias|adapter/,
    ],
    ['an unsupported architecture', () => config({ model_type: 'mamba' }), /config\.json: .*mamba/],
    [
      'an activation by the name of what every object has',
      () => config({ activation_function: 'toString' }),
      /config\.json: .*toString/,
    ],
    ['an unsupported activation', () => config({ activation_function: 'swish2' }), /config\.json: .*swish2/],
    ['a configuration for other weights', () => config({ hidden_size: 48 }), /24.*48/],
    [
      'a width that the heads do not divide',
      () => config({ num_heads: 5 }),
      /config\.json: .*num_heads|config\.json: .*hidden_size/,
    ],
    ['no heads', () => config({ num_heads: 0 }), /config\.json: .*0 attention heads/],
    ['a width of another kind', () => config({ hidden_size: '24' }), /config\.json: .*hidden_size/],
    [
      'layers of a kind that is not known',
      () => config({ attention_types: [[['cosmic'], 2]] }),
      /config\.json: .*attention_types/,
    ],
    ['layers that are no list', () => config({ attention_types: 3 }), /config\.json: .*attention_types/],
    ['layers that are a text', () => config({ attention_types: 'global' }), /config\.json: .*attention_types/],
    ['layers without end', () => config({ attention_types: [[['global'], 1e12]] }), /config\.json: .*attention_types/],
    ['a configuration that is no JSON', () => writeFile(at('model', 'config.json'), '{'), /config\.json.*JSON/],
    ['a configuration that is a list', () => writeFile(at('model', 'config.json'), '[]'), /config\.json/],
    ['no configuration', () => rm(at('model', 'config.json')), /config\.json/],
    ['no weights', () => rm(weights()), /model: .*model\.safetensors/],
    ['pickled weights only', () => rename(weights(), at('model', 'pytorch_model.bin')), /model: .*pickle/],
    ['no tokenizer', () => rm(at('model', 'tokenizer.json')), /tokenizer\.json/],
    ['a broken tokenizer', () => truncate(at('model', 'tokenizer.json'), 500), /tokenizer\.json: .*JSON/],
    ['a tokenizer of nothing', () => writeFile(at('model', 'tokenizer.json'), '{}'), /tokenizer\.json: /],
    ['a tokenizer that knows more than the model', moreTokens, /model: .*290 .*300 /],
    ['a model that is a file', nothing, /data\.jsonl: /, 'model=./data.jsonl'],
    ['a folder that is not there', nothing, /no such model folder/, 'model=./nowhere'],
  ])('%s', (...row) => expectRefused(row));

  async function moreTokens(): Promise<void> {
    await editJson(at('model', 'tokenizer.json'), (tokenizer) => {
      const added = Array.from({ length: 10 }, (_, i) => ({ id: 290 + i, content: `<x${i}>`, special: true }));
      return { ...tokenizer, added_tokens: [...(tokenizer.added_tokens as unknown[]), ...added] };
    });
  }
});

describe('a recipe that is wrong is refused by line and column, before there is a run', () => {
  it.each<[string, string, RegExp]>([
    ['an unknown key', '"learnin_rate": 1', /tiny\.tune\.json:4:3: .*"learning_rate"/],
    ['a value of another kind', '"max_steps": "many"', /tiny\.tune\.json:4:\d+: .*max_steps/],
    ['a value out of its range', '"learning_rate": -1', /tiny\.tune\.json:4:\d+: .*learning_rate/],
    ['a choice that there is not', '"optim": "lion"', /tiny\.tune\.json:4:\d+: .*adamw/],
    ['a method that there is not', '"method": "magic"', /tiny\.tune\.json:4:\d+: .*full/],
    ['a missing comma’s follow-up', '"seed": 1 "optim": "sgd"', /tiny\.tune\.json:4:\d+: /],
    ['a key of a nested object', '"generation": { "topk": 3 }', /tiny\.tune\.json:4:\d+: .*top_k/],
  ])('%s', async (_, line, message) => {
    await writeFile(at('tiny.tune.json'), `{\n  "model": "./model",\n  "dataset": "./data.jsonl",\n  ${line}\n}\n`);
    const { status, stderr, stdout } = await train();
    expectOneSentence(stderr, message);
    expect([status, stdout]).toEqual([2, '']);
    expect(existsSync(runDir)).toBe(false);
  });

  it('an empty recipe', async () => {
    await writeFile(at('tiny.tune.json'), '');
    const { status, stderr } = await train();
    expectOneSentence(stderr, /tiny\.tune\.json/);
    expect([status, existsSync(runDir)]).toEqual([2, false]);
  });
});

describe('numbers that leave the range', () => {
  const often = ['save_strategy=steps', 'save_steps=1', 'eval_strategy=no', 'max_steps=6'];

  it.each<[string, ...string[]]>([
    ['with a checkpoint a step', ...often],
    ['with one checkpoint kept', ...often, 'save_total_limit=1'],
    ['with evaluations', ...often, 'eval_strategy=steps', 'eval_steps=1'],
    ['at the very last step', ...often, 'max_steps=3', 'generation.prompts=[]'],
  ])(
    'end the run, which names the step, the lines and a checkpoint that is really good: %s',
    async (_, ...settings) => {
      // Two sound steps, then one that throws the weights out of range.
      const { status } = await train(...settings, 'max_steps=2', 'learning_rate=1e-3');
      expect(status).toBe(0);
      const before = readFileSync(join(runDir, 'model', 'model.safetensors'));
      const words = [...settings, 'learning_rate=1e30'].flatMap((setting) => ['--set', setting]);
      const broken = await tuneyard([
        'train',
        at('tiny.tune.json'),
        '--run-dir',
        runDir,
        '--resume',
        '--json',
        ...words,
      ]);
      const good = join(runDir, 'checkpoints', 'step-2');
      expect(broken.stderr).toMatch(
        /^the (evaluation )?loss became NaN at step 3, on the samples of lines \d+, .*\.\n$/m,
      );
      expect(broken.stderr).toContain(`the last good checkpoint is ${good}.`);
      expect(broken.stderr).not.toMatch(/^ +at /m);
      expect(broken.status).toBe(1);
      const lines = broken.objects().at(-1)?.data;
      expect(lines).toMatchObject({ step: 3, lines: expect.arrayContaining([expect.any(Number)]), checkpoint: good });
      expect(readdirSync(join(runDir, 'checkpoints'))).toContain('step-2');
      expect(readdirSync(join(runDir, 'checkpoints'))).not.toContain('step-3');
      expect(events().at(-1)).toMatchObject({ type: 'end', status: 'failed', code: 'not_finite' });
      expect(readFileSync(join(runDir, 'model', 'model.safetensors')).equals(before)).toBe(true);
      // And it goes on from there.
      const goOn = [...settings, 'learning_rate=1e-3', 'max_steps=3'].flatMap((setting) => ['--set', setting]);
      const mended = await tuneyard(['train', at('tiny.tune.json'), '--run-dir', runDir, '--resume', ...goOn]);
      expect(mended.status).toBe(0);
      expect(events().at(-1)).toMatchObject({ type: 'end', status: 'completed', step: 3 });
    },
  );

  it('in the weights to begin with are refused by the tensor’s name', async () => {
    const file = at('model', 'model.safetensors');
    const bytes = await readFile(file);
    bytes.writeFloatLE(Number.NaN, bytes.length - 4);
    await writeFile(file, bytes);
    await expectRefused(['', nothing, /model\.safetensors: the tensor transformer\.\S+ holds NaN/]);
  });
});

const place = mkdtempSync(join(tmpdir(), 'tuneyard-disks-'));
const mounted: string[] = [];

/** A disk of its own; undefined where this process may not mount one. */
function mount(name: string, options: string): string | undefined {
  const disk = join(place, name);
  mkdirSync(disk);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', disk], { stdio: 'ignore' });
    mounted.push(disk);
    return disk;
  } catch {
    return undefined;
  }
}

const small = mount('small', 'size=2500k');
const readOnly = mount('read-only', 'size=1m,ro');
afterAll(() => {
  for (const disk of mounted) execFileSync('umount', [disk]);
  rmSync(place, { recursive: true });
});

describe.skipIf(!readOnly)('a read-only disk (skipped where none can be mounted)', () => {
  it.each(['as the run’s folder', 'as the home of runs'])('%s is named, with what to do', async (where) => {
    if (where === 'as the home of runs') vi.stubEnv('TUNEYARD_HOME', readOnly!);
    const more = where === 'as the run’s folder' ? ['--run-dir', join(readOnly!, 'run')] : [];
    const { status, stderr } = await tuneyard(['train', at('tiny.tune.json'), ...more]);
    expectOneSentence(stderr, /read-only\/runs?: this lies on a read-only file system; choose another folder/);
    expect(status).toBe(1);
  });

  it('is named before a model is exported or a comparison is made for it', async () => {
    const exported = await tuneyard(['export', at('model'), '--out', join(readOnly!, 'model')]);
    expectOneSentence(exported.stderr, /read-only(\/model)?: this lies on a read-only file system/);
    const words = ['--prompt', 'the old', '--out', join(readOnly!, 'c.json')];
    const compared = await tuneyard(['compare', at('model'), ...words]);
    expectOneSentence(compared.stderr, /read-only\/c\.json: this lies on a read-only file system/);
    expect([exported.status, compared.status, compared.stdout]).toEqual([1, 1, '']);
  });
});

describe.skipIf(!small)('a full disk (skipped where no small disk can be mounted)', () => {
  beforeEach(async () => {
    for (const name of readdirSync(small!)) await rm(join(small!, name), { recursive: true });
    runDir = join(small!, 'run');
  });

  it('is seen before training where the first checkpoint would not fit', async () => {
    await writeFile(join(small!, 'full'), Buffer.alloc(1500 << 10));
    const { status, stderr } = await train();
    expectOneSentence(stderr, /run: .* needs 1\.\d+ MB and only [\d.]+ [kM]B are free here; free some space/);
    expect(status).toBe(1);
    expect(existsSync(join(runDir, 'model'))).toBe(false);
    expect(readdirSync(join(runDir, 'checkpoints'))).toEqual([]);
  });

  it('on the way ends the run with the checkpoints whole, and what there is of it resumes', async () => {
    const often = ['save_strategy=steps', 'save_steps=1', 'max_steps=40', 'eval_strategy=no'];
    const { status, stderr } = await train(...often);
    expect(stderr).toMatch(/free some space/);
    expect(stderr).not.toMatch(/^ +at /m);
    expect(stderr.trim().split('\n').at(-1)).toMatch(/^\S*run\S*: /);
    expect(status).toBe(1);
    const steps = readdirSync(join(runDir, 'checkpoints'));
    expect(steps.length).toBeGreaterThan(1);
    expect(steps.every((name) => /^step-\d+$/.test(name))).toBe(true);
    expect(existsSync(join(runDir, 'model'))).toBe(false);
    expect(events().at(-1)).toMatchObject({ type: 'end', status: 'failed', code: 'disk_full' });

    for (const name of steps.slice(1)) await rm(join(runDir, 'checkpoints', name), { recursive: true });
    const words = ['max_steps=8', 'save_strategy=no'].flatMap((setting) => ['--set', setting]);
    const resumed = await tuneyard(['train', at('tiny.tune.json'), '--run-dir', runDir, '--resume', ...words]);
    expect([resumed.status, events().at(-1)?.type]).toEqual([0, 'end']);
  });
});
