import { unknownKeyAt } from '@host/recipes/unknownKey';
import { recipeJsonSchema } from '@runner/recipe/jsonSchema';
import { describe, expect, it } from 'vitest';

const schema = recipeJsonSchema();
const at = (text: string, key: string) => unknownKeyAt(text, text.indexOf(`"${key}"`), schema);

describe('the quick fix for a mistyped key', () => {
  it.each([
    ['lerning_rate', 'learning_rate'],
    ['learningRate', 'learning_rate'],
    ['batch_size', 'per_device_train_batch_size'],
    ['epochs', 'num_train_epochs'],
  ])('offers for %s what was meant', (typed, meant) => {
    expect(at(`{ "${typed}": 1 }`, typed)?.nearest).toContain(meant);
  });

  it('replaces the name and leaves its quotes', () => {
    const text = '{\n  // the rate\n  "lerning_rate": 1,\n}';
    const { span } = at(text, 'lerning_rate')!;
    expect(text.slice(span.offset, span.offset + span.length)).toBe('lerning_rate');
  });

  it('offers inside of an object what belongs there', () => {
    expect(at('{ "generation": { "temprature": 1 } }', 'temprature')?.nearest[0]).toBe('temperature');
    expect(at('{ "dataset": { "tamplate": "" } }', 'tamplate')?.nearest[0]).toBe('template');
    expect(at('{ "temprature": 1 }', 'temprature')?.nearest ?? []).not.toContain('temperature');
  });

  it('offers no key that stands there already', () => {
    const text = '{ "learning_rate": 1, "lerning_rate": 2 }';
    expect(at(text, 'lerning_rate')?.nearest).not.toContain('learning_rate');
  });

  it('offers nothing for keys that are known, for values, and for free text in the prompts', () => {
    expect(at('{ "model": "x" }', 'model')).toBeUndefined();
    expect(at('{ "model": "modle" }', 'modle')).toBeUndefined();
    expect(at('{ "generation": { "prompts": ["lerning_rate"] } }', 'lerning_rate')).toBeUndefined();
  });
});
