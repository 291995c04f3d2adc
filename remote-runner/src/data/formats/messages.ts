import { renderChat } from '../chat/chatTemplate';
import { isTurns, messagesOf } from './chatRows';
import { type FormatDef, firstOf, has } from './format';

/** OpenAI's chat format: `messages: [{role, content}, …]`. What the assistant says is learned. */
export const messages: FormatDef = {
  name: 'messages',
  wants: 'a column `messages` with a list of {role, content}',
  fits: (columns, rows) => has(columns, 'messages') && isTurns(firstOf(rows, 'messages'), 'role'),
  render: (values, { chat, place }) => ({ text: renderChat(chat, messagesOf(values, 'messages', place), place) }),
};
