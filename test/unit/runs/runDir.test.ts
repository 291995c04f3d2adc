import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { recipeSchema } from '@protocol/recipe';
import { createRun, openRun, tuneyardHome, writeRecipe } from '@runner/runs/runDir';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { failure, temporaryFolders } from '../hub/support';
import { mountDisk } from './support';

const folder = temporaryFolders();
const readOnly = mountDisk('size=1m,ro');
const recipe = recipeSchema.parse({ model: '/models/base', dataset: '/data/ä.jsonl' });

afterEach(() => vi.unstubAllEnvs());

describe('where runs lie', () => {
  it('is ~/.tuneyard, or where TUNEYARD_HOME says', async () => {
    vi.stubEnv('TUNEYARD_HOME', '');
    expect(tuneyardHome()).toBe(join(homedir(), '.tuneyard'));
    const home = await folder();
    vi.stubEnv('TUNEYARD_HOME', home);
    const { id, dir } = await createRun({ name: 'mine' });
    expect(dir).toBe(join(home, 'runs', id));
  });
});

describe('a new run', () => {
  it('has an id that says when and what, and that no other run has', async () => {
    const home = await folder();
    const runs = await Promise.all(
      Array.from({ length: 50 }, () => createRun({ home, name: 'Grüße an/../alle!.tune' })),
    );
    for (const { id } of runs) expect(id).toMatch(/^\d{8}-\d{6}-gru-e-an-alle-tune-[0-9a-z]{4}$/);
    expect(await readdir(join(home, 'runs'))).toHaveLength(50);
  });

  it('has an id also where its name has no Latin letters, or far too many', async () => {
    const home = await folder();
    expect((await createRun({ home, name: '日本語' })).id).toMatch(/-run-[0-9a-z]{4}$/);
    expect((await createRun({ home, name: 'a'.repeat(300) })).id.length).toBeLessThan(70);
  });

  it('goes into the folder that the user names, made where there is none, again for a resume', async () => {
    const dir = join(await folder(), 'a', 'b');
    expect(await createRun({ runDir: dir, name: 'x' })).toEqual({ id: 'b', dir });
    await writeFile(join(dir, 'runner.log'), '');
    await writeFile(join(dir, 'run.lock.1'), '');
    await createRun({ runDir: dir, name: 'x' });
    await writeRecipe(dir, recipe);
    await mkdir(join(dir, 'checkpoints'));
    expect(await createRun({ runDir: dir, name: 'x' })).toEqual({ id: 'b', dir });
  });

  it('does not mix its files with those of somebody', async () => {
    const dir = await folder();
    await writeFile(join(dir, 'thesis.doc'), '');
    expect(await failure(createRun({ runDir: dir, name: 'x' }))).toMatchObject({ code: 'usage', place: { file: dir } });
    expect(await readdir(dir)).toEqual(['thesis.doc']);
  });

  it('says so where it cannot be made', async () => {
    const file = join(await folder(), 'file');
    await writeFile(file, '');
    for (const runDir of [file, join(file, 'run')]) {
      expect(await failure(createRun({ runDir, name: 'x' }))).toMatchObject({ code: 'not_writable', exitStatus: 1 });
    }
    expect(await failure(createRun({ home: file, name: 'x' }))).toMatchObject({ code: 'not_writable' });
  });

  it.skipIf(!readOnly)('says so on a read-only disk (skipped where none can be mounted)', async () => {
    const error = await failure(createRun({ home: readOnly!, name: 'x' }));
    expect(error).toMatchObject({ code: 'not_writable', place: { file: join(readOnly!, 'runs') } });
    expect(await failure(writeRecipe(readOnly!, recipe))).toMatchObject({ code: 'not_writable' });
  });
});

describe('finding a run', () => {
  it('takes its directory, its id, or the beginning of its id', async () => {
    const home = await folder();
    const run = await createRun({ home, name: 'one' });
    const elsewhere = await folder();
    await writeRecipe(elsewhere, recipe);
    expect(await openRun(run.id, home)).toEqual(run);
    expect(await openRun(run.id.slice(0, 12), home)).toEqual(run);
    expect((await openRun(elsewhere, home)).dir).toBe(elsewhere);
  });

  it('names the nearest id for a mistyped one, and all for an ambiguous one', async () => {
    const home = await folder();
    expect((await failure(openRun('x', home))).message).toContain(`there are none in ${join(home, 'runs')}`);
    const [one, two] = [await createRun({ home, name: 'one' }), await createRun({ home, name: 'twenty' })];
    const error = await failure(openRun(`${two.id.slice(0, -1)}!`, home));
    expect(error).toMatchObject({ code: 'run_not_found', exitStatus: 2, data: { nearest: two.id } });
    const ambiguous = await failure(openRun(one.id.slice(0, 4), home));
    expect(ambiguous).toMatchObject({ code: 'usage', data: { runs: expect.arrayContaining([one.id, two.id]) } });
    expect(await failure(openRun('', home))).toMatchObject({ code: 'run_not_found' });
  });
});

describe('the recipe of a run', () => {
  it('is kept with every default, so that the run can be done again when defaults have changed', async () => {
    const dir = await folder();
    await writeRecipe(dir, { ...recipe, seed: 1 });
    await writeRecipe(dir, recipe);
    expect(JSON.parse(await readFile(join(dir, 'recipe.json'), 'utf8'))).toEqual(recipe);
    expect(await readdir(dir)).toEqual(['recipe.json']);
  });
});
