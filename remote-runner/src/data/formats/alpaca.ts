import { type FormatDef, has, joined, textOf } from './format';

/** `instruction`, perhaps `input`, and `output`: written with the headings of Stanford Alpaca (Taori et al. 2023). */
export const alpaca: FormatDef = {
  name: 'alpaca',
  wants: 'columns `instruction`, `output` and perhaps `input`',
  target: 'output',
  fits: (columns) => has(columns, 'instruction', 'output'),
  render: (values, { place }) => {
    const input = textOf(values, 'input', place, '');
    const task = input.trim() === '' ? 'a task' : 'a task, paired with an input that provides further context';
    const head = `Below is an instruction that describes ${task}. Write a response that appropriately completes the request.`;
    const parts = [head, `### Instruction:\n${textOf(values, 'instruction', place)}`];
    if (input.trim() !== '') parts.push(`### Input:\n${input}`);
    parts.push('### Response:\n');
    return { text: joined(parts.join('\n\n'), textOf(values, 'output', place)) };
  },
};
