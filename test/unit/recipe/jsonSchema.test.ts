import { readFileSync } from 'node:fs';
import { recipeJsonSchema } from '@runner/recipe/jsonSchema';
import { parse } from 'jsonc-parser';
import { describe, expect, it } from 'vitest';

interface Schema {
  required?: string[];
  additionalProperties?: boolean;
  properties?: Record<string, { description?: string; default?: unknown; enum?: string[] }>;
}

describe('the JSON Schema that editors get', () => {
  const schema = recipeJsonSchema() as Schema;

  it('asks only for the keys that have no default, so that a short recipe is not underlined', () => {
    expect(schema.required).toEqual(['model', 'dataset']);
  });

  it('offers the choices, defaults and descriptions that completion shows', () => {
    expect(schema.properties?.optim).toMatchObject({ default: 'adamw', enum: expect.arrayContaining(['sgd']) });
    expect(schema.properties?.learning_rate).toMatchObject({ default: 5e-5, description: 'Peak learning rate.' });
  });

  it('lets VS Code accept the trailing commas that the runner accepts', () => {
    expect(recipeJsonSchema().allowTrailingCommas).toBe(true);
  });

  it('knows every key of the example, and underlines others', () => {
    const example = parse(readFileSync('examples/default/default.tune.json', 'utf8'));
    expect(Object.keys(schema.properties ?? {})).toEqual(expect.arrayContaining(Object.keys(example)));
    expect(schema.additionalProperties).toBe(false);
  });
});
