import { hostPath, isElsewhere, nameOfData } from '@host/datasets/dataPath';
import { parseHubPath } from '@protocol/hubPath';
import { describe, expect, it } from 'vitest';

describe('a path in a recipe', () => {
  it.each([
    ['gpu-box:/data/a.jsonl', { name: 'gpu-box', path: '/data/a.jsonl' }],
    ['me@10.0.0.3:~/a.csv', { name: 'me@10.0.0.3', path: '~/a.csv' }],
    ['C:/data/a.jsonl', undefined],
    ['./a:b/c.jsonl', undefined],
    ['/data/a:/b.jsonl', undefined],
    ['hf://datasets/a/b', undefined],
    ['box:relative.csv', undefined],
  ])('%s lies on a host: %j', (text, expected) => {
    expect(hostPath(text)).toEqual(expected);
  });

  it('is known to be elsewhere where it is on the hub or on a host', () => {
    expect(['hf://datasets/a/b', 'box:/a', './a.csv', 'a.csv'].map(isElsewhere)).toEqual([true, true, false, false]);
  });

  it.each([
    ['hf://datasets/a/stories', 'stories'],
    ['hf://datasets/a/stories@main', 'stories'],
    ['hf://datasets/a/b@x/data/train-*.parquet', 'train-.parquet'],
    ['box:~/data/rows.jsonl', 'rows.jsonl'],
  ])('%s gives a recipe the name %s', (text, name) => {
    expect(nameOfData(text)).toBe(name);
  });

  it('names a repository, a revision and files', () => {
    expect(parseHubPath('hf://datasets/a/b@refs%2Fpr%2F1/data/*.csv')).toEqual({
      repo: 'datasets/a/b',
      revision: 'refs/pr/1',
      file: 'data/*.csv',
    });
  });
});
