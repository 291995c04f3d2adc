import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { temporaryFolders } from '../hub/support';
import { tuneyard } from './support';

const folder = temporaryFolders();
let home: string;

beforeEach(async () => {
  home = join(await folder(), 'home');
  vi.stubEnv('TUNEYARD_HOME', home);
  return () => vi.unstubAllEnvs();
});

describe('a person who asks for help', () => {
  it('finds every command, and each command’s options', async () => {
    const { status, stdout } = await tuneyard(['--help']);
    expect(status).toBe(0);
    const commands = ['train', 'eval', 'generate', 'compare', 'preview', 'estimate', 'export', 'runs', 'doctor'];
    for (const command of commands) {
      expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
      const help = await tuneyard([command, '--help']);
      expect(help.status).toBe(0);
      expect(help.stdout).toContain('--set <key=value>');
      expect(help.stdout).toContain('--json');
    }
  });

  it('is not kept waiting for ONNX Runtime to load', async () => {
    const root = fileURLToPath(new URL('../../..', import.meta.url));
    const script = `import('./remote-runner/src/cli.ts').then(({ main }) => main(['--help'])).then(() =>
      console.log(Object.keys(require.cache).filter((file) => /onnxruntime/.test(file)).length));`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', '-e', script], { cwd: root });
    expect(stdout.trim().split('\n').at(-1)).toBe('0');
  });
});

describe('bad input', () => {
  it.each<[string, string[], RegExp]>([
    ['an unknown command', ['trian'], /^unknown command 'trian' \(Did you mean train\?\)/],
    ['an unknown option', ['runs', '--jsn'], /^unknown option '--jsn' \(Did you mean --json\?\)/],
    ['no command', [], /^which command\?/],
    ['no recipe', ['train'], /^missing required argument 'recipe'/],
    ['a recipe that is not there', ['train', '/no/such.tune.json'], /^\/no\/such\.tune\.json: there is no such recipe/],
    ['a malformed setting', ['generate', 'm', '--prompt', 'a', '--set', 'seed'], /--set seed: write it as key=value/],
    ['an unknown key', ['generate', 'm', '--prompt', 'a', '--set', 'generation.topk=3'], /"generation.top_k"/],
    ['nothing to generate from', ['generate', 'model'], /give a --prompt/],
    ['nothing to evaluate on', ['eval', 'model'], /--recipe/],
    ['a run to resume that is not named', ['train', 'RECIPE', '--resume'], /Name it with --run-dir/],
    ['a run that is not there', ['train', 'RECIPE', '--resume', '--run-dir', 'gone'], /no run "gone"/],
    ['a format that no one writes', ['compare', 'a', 'b', '--prompt', 'x', '--out', 'c.xlsx'], /\.json or \.md/],
    ['a folder to save to that is not there', ['compare', 'a', '--prompt', 'x', '--out', '/no/c.md'], /^\/no\/c\.md: /],
    ['a model that is not there', ['generate', './nowhere', '--prompt', 'a'], /there is no such model folder/],
    ['a dataset that is not there', ['preview', './nowhere.jsonl'], /nowhere\.jsonl/],
  ])('%s: status 2, one sentence, no stack trace, nothing written', async (_, argv, message) => {
    const recipe = join(await folder(), 'r.tune.json');
    await writeFile(recipe, '{"model": "m", "dataset": "d.jsonl"}');
    const { status, stdout, stderr } = await tuneyard(argv.map((word) => (word === 'RECIPE' ? recipe : word)));
    expect(stderr).toMatch(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stdout).toBe('');
    expect(status).toBe(2);
    expect(existsSync(home)).toBe(false);
  });

  it('that leads to a place where no folder can be made ends, instead of trying for ever', async () => {
    vi.stubEnv('TUNEYARD_HOME', '/proc/nowhere');
    const recipe = join(await folder(), 'r.tune.json');
    await writeFile(recipe, '{"model": "m", "dataset": "d.jsonl"}');
    const { status, stderr } = await tuneyard(['train', recipe]);
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/^\/proc\b/);
  });

  it('is told to a program as an object with the code, the place and what to act on', async () => {
    const recipe = join(await folder(), 'r.tune.json');
    await writeFile(recipe, '{\n  "model": "m",\n  "dataset": "d.jsonl",\n  "learnin_rate": 1\n}');
    const { status, objects } = await tuneyard(['train', recipe, '--json']);
    expect(status).toBe(2);
    expect(objects()).toEqual([
      expect.objectContaining({
        type: 'error',
        code: 'recipe_invalid',
        place: { file: recipe, line: 4, column: 3 },
        data: expect.objectContaining({ nearest: 'learning_rate' }),
      }),
    ]);
    const unknown = await tuneyard(['runs', '--json', '--nope']);
    expect(unknown.objects()).toMatchObject([{ type: 'error', code: 'usage' }]);
  });

  it('shows where it was found to whoever debugs', async () => {
    vi.stubEnv('TUNEYARD_DEBUG', '1');
    const { stderr } = await tuneyard(['train', '/no/such.tune.json']);
    expect(stderr).toMatch(/^ {4}at /m);
  });
});
