import { renderChat } from '../chat/chatTemplate';
import { isTurns, messagesOf } from './chatRows';
import { type FormatDef, has, joined, textOf } from './format';

/** `prompt` and `completion`: texts, or both lists of messages, of which only the completion's are learned. */
export const promptCompletion: FormatDef = {
  name: 'prompt-completion',
  wants: 'columns `prompt` and `completion`',
  target: 'completion',
  fits: (columns) => has(columns, 'prompt', 'completion'),
  render: (values, { chat, place }) => {
    if (!isTurns(values.prompt, 'role'))
      return { text: joined(textOf(values, 'prompt', place), textOf(values, 'completion', place)) };
    const prompt = messagesOf(values, 'prompt', place);
    return { text: renderChat(chat, [...prompt, ...messagesOf(values, 'completion', place)], place, prompt.length) };
  },
};
