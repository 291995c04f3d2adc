import { join } from 'node:path';
import type { DatasetFormat } from '@protocol/dataset';
import type { TuneyardError } from '@protocol/errors';
import { datasetSchema } from '@protocol/recipe';
import type { ChatTemplate } from '@runner/data/chat/chatTemplate';
import { loadDataset } from '@runner/data/dataset';
import type { Values } from '@runner/data/formats/format';
import { type FormatRecipe, renderSample, requireTrainable, resolveFormat } from '@runner/data/formats/resolveFormat';
import { type Sample, tokenizeRow } from '@runner/data/tokenize';
import { describe, expect, it } from 'vitest';
import { folder, tokenizer } from './support';

const place = { file: 'data.jsonl', line: 7 };
const chat: ChatTemplate = {
  source:
    '{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}',
  origin: 'the test',
  tokens: {},
};

const resolved = (rows: Values[], recipe: FormatRecipe = {}) =>
  resolveFormat(recipe, [...new Set(rows.flatMap((row) => Object.keys(row)))], rows, { place, chat });

/** What the model is given and what it learns, of a row. */
function seen(row: Values, recipe: FormatRecipe = {}) {
  const { text, ...more } = renderSample(resolved([row], recipe), row, place);
  if (text.kind === 'plain') return { given: text.prompt, learned: [text.completion], ...more };
  return { given: text.text, learned: text.learned.map(({ start, end }) => text.text.slice(start, end)), ...more };
}

const turns = [
  { role: 'system', content: 'Be kind.' },
  { role: 'user', content: 'Hi' },
  { role: 'assistant', content: 'Hello!' },
  { role: 'user', content: 'Bye' },
  { role: 'assistant', content: 'See you.' },
];
const rows: Record<Exclude<DatasetFormat, 'template'>, Values> = {
  text: { text: 'once upon a time', id: 3 },
  'text-target': { text: 'two and two', target: ' four' },
  alpaca: { instruction: 'Add.', input: '2 2', output: '4' },
  messages: { messages: turns },
  sharegpt: {
    conversations: [
      { from: 'human', value: 'Hi' },
      { from: 'gpt', value: 'Hello!' },
    ],
  },
  'prompt-completion': { prompt: 'two and two is', completion: ' four' },
  preference: { prompt: 'Say hello.', chosen: ' Hello!', rejected: ' What?' },
  classification: { text: 'a fine film', label: 'good' },
  'token-classification': { tokens: ['Ada', 'wrote', 'it'], tags: ['PER', 'O', 'O'] },
};

describe('what the rows of a file are', () => {
  it.each(Object.entries(rows))('is told by their columns: %s', (name, row) => {
    expect(resolved([row]).name).toBe(name);
    expect(resolved([row]).possible).toContain(name);
  });

  it('is what the recipe says, or a template makes of it', () => {
    const row = { ...rows.alpaca, ...rows['prompt-completion'] };
    expect(resolved([row]).name).toBe('alpaca');
    expect(resolved([row], { format: 'prompt-completion' }).name).toBe('prompt-completion');
    expect(seen(row, { template: '{input}={output}' })).toEqual({ given: '', learned: ['2 2=4'] });
    expect(seen(row, { template: '{input}={output}', target_column: 'output' })).toEqual({
      given: '2 2=',
      learned: ['4'],
    });
    expect(() => resolved([row], { format: 'messages' })).toThrow(/not in the format "messages", which wants a column/);
  });

  it('stays what it was for recipes of old: text and target, whatever else there is', () => {
    const old = { text: 'a', target: ' b', label: 'x' };
    expect(resolved([old]).name).toBe('text-target');
    expect(seen(old)).toEqual({ given: 'a', learned: [' b'] });
  });
});

describe('a row as text', () => {
  it('of Alpaca has its headings, with and without an input', () => {
    const { given, learned } = seen(rows.alpaca);
    expect(given).toMatch(
      /^Below is an instruction .* further context\. .*\n\n### Instruction:\nAdd\.\n\n### Input:\n2 2\n\n### Response:$/,
    );
    expect(learned).toEqual(['\n4']);
    expect(seen({ instruction: 'Sing.', input: '', output: 'la' }).given).not.toContain('### Input');
  });

  it('of a chat learns what the assistant says, and the end of its turns', () => {
    const { given, learned } = seen(rows.messages);
    expect(given).toBe(
      '<system>Be kind.<end><user>Hi<end><assistant>Hello!<end><user>Bye<end><assistant>See you.<end>',
    );
    expect(learned).toEqual(['Hello!<end>', 'See you.<end>']);
    expect(seen(rows.sharegpt)).toEqual({ given: '<user>Hi<end><assistant>Hello!<end>', learned: ['Hello!<end>'] });
    const parts = [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
      },
      turns[2]!,
    ];
    expect(seen({ messages: parts }).given).toBe('<user>ab<end><assistant>Hello!<end>');
  });

  it('of prompt and completion learns the completion alone, also where both are chats', () => {
    expect(seen(rows['prompt-completion'])).toEqual({ given: 'two and two is', learned: [' four'] });
    const chats = { prompt: turns.slice(0, 4), completion: turns.slice(4) };
    expect(seen(chats).learned).toEqual(['See you.<end>']);
  });

  it('of a preference is what was chosen, with what was rejected beside it, and the prompt that both share', () => {
    expect(seen(rows.preference)).toEqual({
      given: 'Say hello.',
      learned: [' Hello!'],
      rejected: { kind: 'plain', prompt: 'Say hello.', completion: ' What?' },
    });
    const implicit = seen({ chosen: 'Q: hi A: hello', rejected: 'Q: hi A: go away' });
    expect(implicit).toMatchObject({ given: 'Q: hi A:', learned: [' hello'], rejected: { completion: ' go away' } });
    const worse = [...turns.slice(0, 4), { role: 'assistant', content: 'Go.' }];
    expect(seen({ chosen: turns, rejected: worse }).learned).toEqual(['See you.<end>']);
  });

  it('of a class has its label, and of tagged words every word with its tag', () => {
    expect(seen(rows.classification)).toMatchObject({ given: 'a fine film', learned: [' good'], label: 'good' });
    expect(seen({ text: 'x', label: 3 })).toMatchObject({ label: '3' });
    expect(seen(rows['token-classification'])).toMatchObject({
      words: [
        { word: 'Ada', tag: 'PER' },
        { word: 'wrote', tag: 'O' },
        { word: 'it', tag: 'O' },
      ],
    });
  });
});

describe('a row that cannot be used', () => {
  it.each<[DatasetFormat, Values, RegExp]>([
    ['alpaca', { instruction: 'x', output: null }, /no value for the column "output"/],
    ['alpaca', { instruction: ['x'], output: 'y' }, /"instruction" holds a list/],
    ['messages', { messages: [] }, /"messages" has no turns/],
    ['messages', { messages: 'hi' }, /"messages" holds no list of turns/],
    ['messages', { messages: [turns[1], null] }, /turn 2 of "messages" is no object/],
    ['messages', { messages: [{ content: 'x' }] }, /turn 1 of "messages" does not say who speaks/],
    ['messages', { messages: [{ role: 'user' }] }, /turn 1 of "messages" says nothing/],
    ['messages', { messages: [{ role: 'assistant', content: '', tool_calls: [{}] }] }, /turn 1 .* calls a tool/],
    ['messages', { messages: [{ role: 'user', content: [{ type: 'image' }] }] }, /holds "image" that is no text/],
    ['sharegpt', { conversations: [{ from: 'bot', value: 'x' }] }, /from "bot"; known are human, gpt and system/],
    ['prompt-completion', { prompt: 'x', completion: { a: 1 } }, /"completion" holds an object/],
    ['preference', { prompt: 'x', chosen: 'y', rejected: null }, /no value for the column "rejected"/],
    ['classification', { text: 'x', label: null }, /no value for the column "label"/],
    ['token-classification', { tokens: ['a', 'b'], tags: ['X'] }, /2.*1|1.*2/],
  ])('of %s is refused with its line and the reason: %j', (format, row, reason) => {
    const { name, ...how } = resolved([rows[format as keyof typeof rows]], { format });
    let error: unknown;
    try {
      renderSample({ name, ...how }, row, place);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: 'dataset_invalid', place });
    expect((error as TuneyardError).what).toMatch(reason);
  });

  it('is said of data for another method before anything is trained', () => {
    expect(() => requireTrainable(resolved([rows.preference]), place)).toThrow(/"preference", which is for dpo/);
    expect(() => requireTrainable(resolved([rows.messages]), place)).not.toThrow();
  });
});

describe('training on chats', () => {
  it('learns the tokens of the assistant’s turns and no others', async () => {
    const dir = folder({ 'data.jsonl': [rows.messages, rows.messages].map((row) => JSON.stringify(row)).join('\n') });
    const recipe = { path: join(dir, 'data.jsonl'), chat_template: chat.source, test_size: 0 };
    const { train } = await loadDataset(datasetSchema.parse(recipe), {
      tokenizer,
      maxLength: 512,
      seed: 1,
      baseDir: dir,
    });
    const text = (sample: Sample, isLearned: boolean) =>
      tokenizer.decode([...sample.inputIds].filter((_, t) => (sample.labels[t] !== -100) === isLearned));
    expect(text(train[0]!, true)).toBe('Hello!<end>See you.<end>');
    expect(text(train[0]!, false)).toBe('<system>Be kind.<end><user>Hi<end><assistant><user>Bye<end><assistant>');
  });

  it('is refused where the assistant says nothing', () => {
    const row = { line: 7, values: { messages: turns.slice(0, 2) } };
    const options = {
      tokenizer,
      sampleFormat: resolved([rows.messages]),
      maxLength: 512,
      trainOnPrompt: false,
      appendEos: true,
      file: 'data.jsonl',
    };
    expect(() => tokenizeRow(row, options)).toThrow(/the chat has nothing that the assistant says/);
  });
});
