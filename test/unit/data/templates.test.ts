import { parseTemplate, renderRow, resolveTemplate } from '@runner/data/templates';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const place = { file: 'data.csv' };

describe('parseTemplate', () => {
  it('gives back any text between the columns, braces and all', () => {
    const text = fc.string({ unit: fc.constantFrom('{', '}', 'a', ' ', '\n', '$', '漢') });
    fc.assert(
      fc.property(text, text, text, fc.string(), (before, between, after, value) => {
        const doubled = (part: string) => part.replace(/[{}]/g, '$&$&');
        const source = `${doubled(before)}{text}${doubled(between)}{ text }${doubled(after)}`;
        const { prompt, completion } = renderRow(
          { template: parseTemplate(source), target: undefined },
          { text: value },
          place,
        );
        expect(prompt).toBe('');
        expect(completion).toBe(before + value + between + value + after);
      }),
    );
  });

  it('does not fill in braces that come with the data', () => {
    const template = { template: parseTemplate('{text}!'), target: undefined };
    expect(renderRow(template, { text: '{text} {{x' }, place).completion).toBe('{text} {{x!');
  });

  it('says what is wrong with a template and where', () => {
    expect(() => parseTemplate('{text')).toThrow(/does not close the brace at character 1/);
    expect(() => parseTemplate('{a{b}')).toThrow(/does not close the brace at character 1/);
    expect(() => parseTemplate('{text} }')).toThrow(/closes a brace that was not opened at character 8/);
    expect(() => parseTemplate('a{ }')).toThrow(/names no column at character 2/);
    expect(() => parseTemplate('hello {{text}}')).toThrow(/uses no column/);
  });
});

describe('resolveTemplate', () => {
  it('takes the defaults from the columns there are', () => {
    const source = (dataset: object, columns: string[]) => {
      const { template, target } = resolveTemplate(dataset, columns, place);
      return [template.source, target];
    };
    expect(source({}, ['text', 'target'])).toEqual(['{text}{target}', 'target']);
    expect(source({}, ['text', 'stars'])).toEqual(['{text}', undefined]);
    expect(source({ target_column: 'stars' }, ['text', 'stars'])).toEqual(['{text}{stars}', 'stars']);
    expect(source({ template: '{text}' }, ['text', 'target'])).toEqual(['{text}', undefined]);
  });

  it('names the nearest column and all there are when one is misspelt', () => {
    const wrong = () => resolveTemplate({ template: '{text} {taget}' }, ['text', 'target'], place);
    expect(wrong).toThrow('data.csv: there is no column "taget"; did you mean "target"? (columns: "text", "target")');
    expect(wrong).toThrow(expect.objectContaining({ code: 'column_missing' }));
    expect(() => resolveTemplate({}, ['question', 'answer'], place)).toThrow(
      /no column "text" \(.*say with `template`/,
    );
    expect(() => resolveTemplate({ target_column: 'Target' }, ['text', 'target'], place)).toThrow(
      /did you mean "target"/,
    );
    expect(() => resolveTemplate({ template: '{text}', target_column: 'b' }, ['text', 'b'], place)).toThrow(
      /does not use the target column "b"/,
    );
  });
});

describe('renderRow', () => {
  const render = (template: string, values: Record<string, unknown>, target: string | null = 'target') =>
    renderRow({ template: parseTemplate(template), target: target ?? undefined }, values, {
      file: 'data.csv',
      line: 7,
    });

  it('splits at the target’s first use, and gives the space between the two to the completion', () => {
    expect(render('{text} {target}.', { text: 'Hi', target: 'you' })).toEqual({ prompt: 'Hi', completion: ' you.' });
    expect(render('Q: {text}\nA:{target}{text}', { text: 'Hi', target: 'you' })).toEqual({
      prompt: 'Q: Hi\nA:',
      completion: 'youHi',
    });
    expect(render('{text}\n\n{target}', { text: ' a ', target: '' })).toEqual({ prompt: ' a', completion: ' \n\n' });
    expect(render('{target} {text}', { text: 'b', target: 'a' })).toEqual({ prompt: '', completion: 'a b' });
  });

  it('writes numbers and booleans as they are', () => {
    const { completion } = render('{a} {b} {c}', { a: 1.5, b: false, c: 12345678901234567890n }, null);
    expect(completion).toBe('1.5 false 12345678901234567890');
  });

  it('refuses a row without the value instead of training on “undefined”', () => {
    expect(() => render('{text}', {}, null)).toThrow(/^data\.csv:7: the row has no value for the column "text"/);
    expect(() => render('{text}', { text: null }, null)).toThrow(/no value/);
    expect(() => render('{constructor}', {}, null)).toThrow(/no value/);
    expect(() => render('{text}', { text: ['a'] }, null)).toThrow(/holds a list/);
    expect(() => render('{text}', { text: { a: 1 } }, null)).toThrow(/holds an object/);
  });
});
