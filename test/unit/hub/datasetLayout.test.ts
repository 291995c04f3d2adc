import { convertedLayout, datasetLayout, matchingFiles } from '@runner/hub/datasetLayout';
import { describe, expect, it } from 'vitest';

const splits = (files: string[], card?: string) => datasetLayout(files, card)[0]?.splits;

describe('a dataset repository without a description', () => {
  it('with one file is all for training', () => {
    expect(splits(['README.md', '.gitattributes', 'samples.jsonl'])).toEqual({ train: ['samples.jsonl'] });
  });

  it.each([
    [
      ['train.csv', 'test.csv', 'validation.csv'],
      ['train', 'test', 'validation'],
    ],
    [
      ['my-train-file.csv', 'dev_1.csv', 'eval.csv'],
      ['train', 'validation', 'test'],
    ],
    [
      ['Train.parquet', 'VAL.parquet'],
      ['train', 'validation'],
    ],
  ])('tells splits by the names of files: %j', (files, names) => {
    expect(splits(files)).toEqual(Object.fromEntries(names.map((name, i) => [name, [files[i]]])));
  });

  it('takes no part of a word for a split', () => {
    expect(splits(['trainer.csv', 'contest.csv'])).toEqual({ train: ['contest.csv', 'trainer.csv'] });
  });

  it('tells splits by folders before names', () => {
    const files = ['test/of-training.jsonl', 'train/a.jsonl', 'train/b.jsonl', 'extra.jsonl'];
    expect(splits(files)).toEqual({ test: ['test/of-training.jsonl'], train: ['train/a.jsonl', 'train/b.jsonl'] });
  });

  it('takes split names of any kind from shards, in their order', () => {
    const shard = (split: string, i: number) => `data/${split}-0000${i}-of-00002-abc.parquet`;
    const files = [shard('train_sft', 1), shard('train_sft', 0), shard('test_sft', 0), 'train.parquet'];
    expect(splits(files)).toEqual({
      test_sft: [shard('test_sft', 0)],
      train_sft: [shard('train_sft', 0), shard('train_sft', 1)],
    });
  });

  it('is of the format that most of its files have, and of no file that describes it', () => {
    expect(splits(['a.parquet', 'b.parquet', 'dataset_infos.json', 'sample.csv', 'requirements.txt'])).toEqual({
      train: ['a.parquet', 'b.parquet'],
    });
  });

  it('with nothing that can be read has no configuration', () => {
    expect(datasetLayout(['a.py', 'images.zip', 'README.md'], '# Images')).toEqual([]);
  });
});

describe('a dataset repository with a card', () => {
  const card = (yaml: string) => `---\nlicense: mit\n${yaml}\n---\n# A dataset\n`;

  it('has the configurations, splits and files that its card lists', () => {
    const text = card(`configs:
- config_name: plain
  default: true
  data_files:
  - split: train
    path: "plain/*.jsonl"
  - split: held
    path: [x/a.csv, x/b.csv]
- config_name: other
  data_files: other.csv`);
    const files = ['plain/2.jsonl', 'plain/1.jsonl', 'x/b.csv', 'x/a.csv', 'other.csv', 'unused.csv'];
    expect(datasetLayout(files, text)).toEqual([
      {
        name: 'plain',
        isDefault: true,
        splits: { train: ['plain/1.jsonl', 'plain/2.jsonl'], held: ['x/a.csv', 'x/b.csv'] },
      },
      { name: 'other', isDefault: false, splits: { train: ['other.csv'] } },
    ]);
  });

  it('looks for the usual names in a configuration’s folder', () => {
    const text = card('configs:\n- config_name: de\n  data_dir: de\n- config_name: fr\n  data_dir: ./fr/');
    const layout = datasetLayout(['de/train.csv', 'de/test.csv', 'fr/train.csv'], text);
    expect(layout).toEqual([
      { name: 'de', isDefault: false, splits: { train: ['de/train.csv'], test: ['de/test.csv'] } },
      { name: 'fr', isDefault: false, splits: { train: ['fr/train.csv'] } },
    ]);
  });

  it.each([
    ['that is no YAML', '---\nconfigs: [\n---\n'],
    ['without configurations', '---\nlicense: mit\n---\n'],
    ['that names files which are not there', card('configs:\n- config_name: a\n  data_files: gone.csv')],
  ])('%s goes by the names of files', (_, text) => {
    expect(splits(['train.csv'], text)).toEqual({ train: ['train.csv'] });
  });
});

it('finds the configurations and splits of what the hub converted', () => {
  const files = [
    'default/train/0001.parquet',
    'default/train/0000.parquet',
    'default/partial-test/0000.parquet',
    '.gitattributes',
  ];
  expect(convertedLayout(files)).toEqual([
    {
      name: 'default',
      isDefault: true,
      splits: {
        train: ['default/train/0000.parquet', 'default/train/0001.parquet'],
        test: ['default/partial-test/0000.parquet'],
      },
    },
  ]);
});

it('takes a file name with signs of a pattern in it as it is', () => {
  expect(matchingFiles(['a[1].csv', 'a1.csv'], 'a[1].csv')).toEqual(['a[1].csv']);
  expect(matchingFiles(['d/b.csv', 'd/a.csv', 'a.csv'], 'd/*.csv')).toEqual(['d/a.csv', 'd/b.csv']);
});
