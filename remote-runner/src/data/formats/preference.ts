import type { ErrorPlace } from '@protocol/errors';
import { type ChatMessage, renderChat } from '../chat/chatTemplate';
import { isTurns, messagesOf } from './chatRows';
import { type FormatDef, has, joined, textOf, type Values } from './format';

/**
 * `chosen` and `rejected`, texts or lists of messages, with `prompt` or, without it, the beginning that both share. Shown as
 * what was chosen; `rejected` beside it.
 */
export const preference: FormatDef = {
  name: 'preference',
  wants: 'columns `chosen`, `rejected` and perhaps `prompt`',
  target: 'chosen',
  method: 'dpo',
  fits: (columns) => has(columns, 'chosen', 'rejected'),
  render: (values, { chat, place }) => {
    if (isTurns(values.chosen, 'role')) {
      const [chosen, rejected] = [messagesOf(values, 'chosen', place), messagesOf(values, 'rejected', place)];
      const given = promptTurns(values, place) ?? [];
      const shared = given.length > 0 ? 0 : sharedTurns(chosen, rejected);
      const text = (turns: ChatMessage[]) => renderChat(chat, [...given, ...turns], place, given.length + shared);
      return { text: text(chosen), rejected: text(rejected) };
    }
    const [chosen, rejected] = [textOf(values, 'chosen', place), textOf(values, 'rejected', place)];
    const prompt = textOf(values, 'prompt', place, '');
    if (prompt !== '') return { text: joined(prompt, chosen), rejected: joined(prompt, rejected) };
    const shared = sharedLength(chosen, rejected);
    const [start, better, worse] = [chosen.slice(0, shared), chosen.slice(shared), rejected.slice(shared)];
    return { text: joined(start, better), rejected: joined(start, worse) };
  },
};

function promptTurns(values: Values, place: ErrorPlace): ChatMessage[] | undefined {
  if (isTurns(values.prompt, 'role')) return messagesOf(values, 'prompt', place);
  const text = textOf(values, 'prompt', place, '');
  return text === '' ? undefined : [{ role: 'user', content: text }];
}

/** Turns that both begin with; the last of either is its own. */
function sharedTurns(a: readonly ChatMessage[], b: readonly ChatMessage[]): number {
  const most = Math.min(a.length, b.length) - 1;
  let count = 0;
  while (count < most && a[count]!.role === b[count]!.role && a[count]!.content === b[count]!.content) count++;
  return count;
}

/** Up to the last white space of what both begin with: no word is cut. */
function sharedLength(a: string, b: string): number {
  let count = 0;
  while (count < a.length && count < b.length && a[count] === b[count]) count++;
  const start = a.slice(0, count);
  return start.length - (/\S*$/.exec(start)?.[0].length ?? 0);
}
