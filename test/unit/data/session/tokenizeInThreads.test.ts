import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadRows, tokenizeOptions, tokenizeRows } from '@runner/data/dataset';
import { loadTokenizer } from '@runner/data/tokenizer';
import { threadsFor, tokenizeInThreads } from '@runner/data/workers/tokenizeInThreads';
import { beforeAll, describe, expect, it } from 'vitest';
import { folder } from '../support';
import { opening } from './sessionSupport';

const example = join(__dirname, '../../../../examples/default');
const dir = join(example, 'model');
const { dataset: recipe } = opening('data.jsonl');

describe('tokenizing in threads', () => {
  let params: Parameters<typeof tokenizeInThreads>[0];
  beforeAll(async () => {
    const lines = readFileSync(join(example, 'backstories.jsonl'), 'utf8').trim().split('\n');
    // Some that cannot be used, near the beginning and near the end.
    lines[3] = '{"text":""}';
    lines[lines.length - 2] = '{"text":null}';
    const many = [...lines, ...lines.map((line) => line.replace('the', 'The'))];
    const { rows, ...data } = await loadRows(join(folder({ 'data.jsonl': many.join('\n') }), 'data.jsonl'), recipe, {
      baseDir: '/',
    });
    params = { dir, data, recipe, maxLength: 48, rows };
  });

  it('makes the samples that one thread makes, in their order, and finds the same rows unusable', async () => {
    const tokenizer = await loadTokenizer(dir);
    const one = await tokenizeRows(
      params.rows,
      tokenizeOptions({ ...params.data, rows: [] }, recipe, { tokenizer, maxLength: 48 }),
    );
    const many = await tokenizeInThreads(params, 2);
    expect(many.samples.length).toBe(one.samples.length);
    expect(many.samples).toEqual(one.samples);
    expect(many.errors.map((error) => error.message)).toEqual(one.errors.map((error) => error.message));
    expect(many.errors.length).toBeGreaterThan(2);
  });

  it('does so with chats, whose template goes to the threads', async () => {
    const chat = '{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}';
    const chats = opening('data.jsonl', { chat_template: chat }).dataset;
    const line = (n: number) =>
      JSON.stringify({
        messages: [
          { role: 'user', content: `say ${n}` },
          { role: 'assistant', content: `${n}, of course` },
        ],
      });
    const path = join(
      folder({ 'data.jsonl': Array.from({ length: 300 }, (_, n) => line(n)).join('\n') }),
      'data.jsonl',
    );
    const tokenizer = await loadTokenizer(dir);
    const { rows, ...data } = await loadRows(path, chats, { baseDir: '/', tokenizer });
    const one = await tokenizeRows(rows, tokenizeOptions({ ...data, rows: [] }, chats, { tokenizer, maxLength: 64 }));
    const many = await tokenizeInThreads({ dir, data, recipe: chats, maxLength: 64, rows }, 2);
    expect(one.samples.length).toBe(300);
    expect(many.samples).toEqual(one.samples);
  });

  it('is not done for little data, nor on one core', () => {
    const row = { line: 1, values: { text: 'x'.repeat(1 << 20) } };
    expect(threadsFor(params.rows.slice(0, 100), 16)).toBe(1);
    expect(threadsFor(Array(100).fill(row), 1)).toBe(1);
    expect(threadsFor(Array(100).fill(row), 4)).toBe(4);
    expect(threadsFor(Array(17).fill(row), 4)).toBe(2);
  });

  it('stops when it is cancelled, and says what is wrong with a tokenizer', async () => {
    await expect(tokenizeInThreads(params, 2, AbortSignal.abort())).rejects.toMatchObject({ code: 'cancelled' });
    await expect(tokenizeInThreads({ ...params, dir: '/nowhere' }, 2)).rejects.toMatchObject({
      code: 'tokenizer_invalid',
    });
  });
});
