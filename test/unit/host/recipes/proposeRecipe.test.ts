import { type DataFacts, type ModelFacts, proposeRecipe, proposeTemplate } from '@host/recipes/proposeRecipe';
import { recipeSchema } from '@protocol/recipe';
import fc from 'fast-check';
import { type ParseError, parse } from 'jsonc-parser';
import { describe, expect, it } from 'vitest';

const DATA: DataFacts = {
  rows: 400,
  columns: ['text', 'target'],
  targetColumn: 'target',
  unit: 'tokens',
  tokensPerUnit: 1,
  median: 120,
  p95: 180,
  max: 201,
  supervisedShare: 0.75,
  prompts: ['Character: Silas Rush\nBackstory:', 'Character: Thessa Thorn\nBackstory:'],
};
const MODEL: ModelFacts = { name: './model', maxPositions: 256, parameters: 2.6e6 };

function propose(data: Partial<DataFacts> = {}, model: Partial<ModelFacts> = {}) {
  const text = proposeRecipe({
    dataset: './samples.jsonl',
    data: { ...DATA, ...data },
    model: { ...MODEL, ...model },
    method: 'full',
  });
  const errors: ParseError[] = [];
  const raw = parse(text, errors, { allowTrailingComma: false });
  expect(errors).toEqual([]);
  return { text, raw, recipe: recipeSchema.parse(raw) };
}

describe('a proposed recipe', () => {
  it('holds every sample whole where the model takes it, and no longer', () => {
    expect(propose().recipe.max_length).toBe(208);
    expect(propose({ max: 5000, p95: 4000 }).recipe.max_length).toBe(256);
  });

  it('cuts one sample that is far longer than the rest, and says so', () => {
    const { text, recipe } = propose({ max: 1000, p95: 180 }, { maxPositions: 1024 });
    expect(recipe.max_length).toBe(192);
    expect(text).toContain('95% of the samples fit. The longest has 1000 tokens; its rest is cut off.');
  });

  it('makes no batch so large that memory runs out, nor so large that an epoch has no steps', () => {
    expect(propose({ max: 1024, p95: 1000 }, { maxPositions: 2048 }).recipe.per_device_train_batch_size).toBe(2);
    expect(propose({ rows: 24 }).recipe.per_device_train_batch_size).toBeLessThanOrEqual(2);
  });

  it('learns in larger steps the smaller the model is, written as people write them', () => {
    const rates = [2e6, 33e6, 124e6, 1.5e9].map((parameters) => propose({}, { parameters }).recipe.learning_rate);
    expect(rates).toEqual([1e-3, 2e-4, 5e-5, 2e-5]);
    expect(propose({}, { parameters: 124e6 }).text).toContain('"learning_rate": 5e-5');
  });

  it('holds nothing out where every sample is needed, and then promises no best checkpoint', () => {
    const { recipe } = propose({ rows: 12 });
    expect(recipe.dataset).toMatchObject({ test_size: 0 });
    expect(recipe).toMatchObject({ eval_strategy: 'no', load_best_model_at_end: false });
  });

  it('looks at what it holds out several times in a long pass, and saves as often', () => {
    const { recipe } = propose({ rows: 200_000 });
    expect(recipe).toMatchObject({ eval_strategy: 'steps', save_strategy: 'steps', num_train_epochs: 1 });
    expect(recipe.save_steps).toBe(recipe.eval_steps);
  });

  it('asks for prompts of the data, shortened to what can be read', () => {
    const { recipe } = propose({ prompts: ['Tell me. '.repeat(100), 'b', 'c', 'd'] });
    expect(recipe.generation.prompts).toHaveLength(3);
    expect(recipe.generation.prompts[0]!.length).toBeLessThanOrEqual(300);
  });

  it('says for other columns how a row becomes a text', () => {
    const { recipe } = propose({ template: '{question}\n{answer}', targetColumn: 'answer' });
    expect(recipe.dataset).toMatchObject({ template: '{question}\n{answer}', target_column: 'answer' });
  });

  it('leaves room for tokens where only words could be counted', () => {
    const { text, recipe } = propose({ unit: 'words', tokensPerUnit: 2, max: 100, p95: 90 }, { maxPositions: 1024 });
    expect(recipe.max_length).toBe(208);
    expect(text).toContain('guessed from its words');
  });

  it('is a recipe whatever the data is like', () => {
    const text = fc.string({ unit: 'binary' });
    const data = fc.record({
      rows: fc.integer({ min: 1, max: 1e7 }),
      columns: fc.array(text),
      targetColumn: fc.option(text, { nil: undefined }),
      template: fc.option(text, { nil: undefined }),
      unit: fc.constantFrom('tokens' as const, 'words' as const),
      tokensPerUnit: fc.double({ min: 1, max: 4, noNaN: true }),
      median: fc.integer({ min: 0, max: 1e5 }),
      p95: fc.integer({ min: 0, max: 1e5 }),
      max: fc.integer({ min: 0, max: 1e6 }),
      supervisedShare: fc.double({ min: 0, max: 1, noNaN: true }),
      prompts: fc.array(text, { maxLength: 5 }),
    });
    const model = fc.record({
      maxPositions: fc.option(fc.integer({ min: 16, max: 1e5 }), { nil: undefined }),
      parameters: fc.option(fc.integer({ min: 1000, max: 1e12 }), { nil: undefined }),
    });
    fc.assert(fc.property(data, model, (facts, known) => void propose(facts, known)));
  });
});

describe('a template from the names of columns', () => {
  it.each<[string[], string, string | undefined]>([
    [['instruction', 'input', 'output'], '{instruction}\n{input}\n{output}', 'output'],
    [['Prompt', 'Completion'], '{Prompt}\n{Completion}', 'Completion'],
    [['id', 'question', 'answer'], '{question}\n{answer}', 'answer'],
    [['content', 'url'], '{content}', undefined],
    [['poem'], '{poem}', undefined],
    [['gedicht'], '{gedicht}', undefined],
  ])('is found for %j', (columns, template, target) => {
    expect(proposeTemplate(columns)).toEqual({ template, ...(target ? { targetColumn: target } : {}) });
  });

  it('is not made up where the names say nothing', () => {
    expect(proposeTemplate(['a', 'b'])).toBeUndefined();
  });
});
