import type { TuneyardError } from '@protocol/errors';
import { renderChat } from '@runner/data/chat/chatTemplate';
import { describe, expect, it } from 'vitest';
import { readChats } from './fixtures';

const templates = readChats();
const place = { file: 'chats.jsonl', line: 3 };

describe.each(Object.keys(templates))('a chat template like that of %s', (name) => {
  const { tokens, cases, ...sources } = templates[name]!;

  it.each(['plain', 'marked'] as const)(
    'gives transformers’ text, and learns what the assistant wrote (%s)',
    (spelling) => {
      const template = { source: sources[spelling], origin: 'the test', tokens };
      for (const { messages, text, spans } of cases) {
        if (text === undefined) continue;
        const seen = renderChat(template, messages, place);
        expect(seen.text).toBe(text);
        const learned = seen.learned.map(({ start, end }) => [start, end, text.slice(start, end)]);
        expect(learned, JSON.stringify(messages)).toEqual(
          spans!.map(([start, end]) => [start, end, text.slice(start, end)]),
        );
        // Turns follow on each other, and hold all of the text.
        expect(seen.turns.map(({ role }) => role)).toEqual(messages.map(({ role }) => role));
        expect(seen.turns.map(({ start, end }) => text.slice(start, end)).join('')).toBe(text);
      }
    },
  );

  it('refuses the chats that transformers refuses, with the template’s own reason and the row', () => {
    const template = { source: sources.plain, origin: 'the test', tokens };
    for (const { messages, refusal } of cases) {
      if (refusal === undefined) continue;
      let error: TuneyardError | undefined;
      try {
        renderChat(template, messages, place);
      } catch (thrown) {
        error = thrown as TuneyardError;
      }
      expect(error).toMatchObject({ code: 'dataset_invalid', place });
      expect(error?.what).toContain(refusal.replace(/[.\s]+$/, ''));
    }
  });
});
