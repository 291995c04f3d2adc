import { renderChat } from '../chat/chatTemplate';
import { conversationOf, isTurns } from './chatRows';
import { type FormatDef, firstOf, has } from './format';

/** ShareGPT's: `conversations: [{from: 'human' | 'gpt' | 'system', value}, …]`. */
export const sharegpt: FormatDef = {
  name: 'sharegpt',
  wants: 'a column `conversations` with a list of {from, value}',
  fits: (columns, rows) => has(columns, 'conversations') && isTurns(firstOf(rows, 'conversations'), 'from', 'value'),
  render: (values, { chat, place }) => ({
    text: renderChat(chat, conversationOf(values, 'conversations', place), place),
  }),
};
