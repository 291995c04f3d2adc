import { type FormatDef, has, joined, textOf } from './format';

/** `text` and `label`: the label is what is learned to be written behind the text. */
export const classification: FormatDef = {
  name: 'classification',
  wants: 'columns `text` and `label`',
  target: 'label',
  fits: (columns) => has(columns, 'text', 'label') && !has(columns, 'target'),
  render: (values, { place }) => {
    const label = textOf(values, 'label', place);
    return { text: joined(`${textOf(values, 'text', place)} `, label), label };
  },
};
