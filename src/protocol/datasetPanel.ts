/** What the dataset panel and the extension say to each other; see `panels.ts`. */
import type { DatasetFix, DatasetReport, DatasetSample, HubChoice, OpenedDataset, RowHead } from './dataset';
import type { DatasetFormat } from './datasetFormats';

/** What a person can try in the panel. */
export interface DatasetSettings {
  /** Folder or hub name of the model whose tokenizer is used. */
  model?: string;
  format?: DatasetFormat;
  template?: string;
  /** Of a dataset on the hub. */
  config?: string;
  split?: string;
  max_length: number;
  train_on_prompt: boolean;
}

export interface DatasetPanelState {
  /** Of the data file, or `hf://…`. */
  path: string;
  /** Name of the host that it lies on; absent: this machine, or the hub. */
  host?: string;
  /** The recipe that trains on it, where one is known. */
  recipe?: string;
  settings: DatasetSettings;
  /** Settings differ from the recipe's. */
  changed: boolean;
  /** Of the editor, not of the file. */
  unsaved: boolean;
  opened?: OpenedDataset;
  /** Something is being opened anew. */
  opening: boolean;
  /** Why it cannot be shown. */
  problem?: string;
  /** Of a dataset on the hub, also where the wrong one of them is the problem. */
  hub?: HubChoice;
  rows: number;
  /** 0 to 1: how much of the file has been looked through for rows. */
  indexed: number;
  /** Raised when rows have to be asked for again. */
  version: number;
  report?: DatasetReport;
  /** The whole set is being looked at. */
  reporting?: { done: number; total: number };
  reportProblem?: string;
}

export type DatasetHostContract = {
  requests: {
    'dataset/state': { params: Record<string, never>; result: DatasetPanelState };
    'dataset/rows': { params: { from: number; count: number }; result: RowHead[] };
    'dataset/sample': { params: { row: number }; result: DatasetSample | null };
    'dataset/set': { params: Partial<DatasetSettings>; result: null };
    'dataset/pickModel': { params: Record<string, never>; result: null };
    /** Shows a line in the editor. */
    'dataset/reveal': { params: { source: number; line: number }; result: null };
    'dataset/report': { params: Record<string, never>; result: null };
    'dataset/cancelReport': { params: Record<string, never>; result: null };
    'dataset/fix': { params: { fix: DatasetFix }; result: null };
    /** Ask for what is needed, and write new files. */
    'dataset/split': { params: Record<string, never>; result: null };
    'dataset/convert': { params: Record<string, never>; result: null };
    /** Writes the settings into the recipe. */
    'dataset/keep': { params: Record<string, never>; result: null };
    /** Asks for a model, and writes a recipe for this data. */
    'dataset/newRecipe': { params: Record<string, never>; result: null };
  };
  notifications: Record<never, never>;
};

export type DatasetPageContract = {
  requests: Record<never, never>;
  notifications: {
    'dataset/changed': DatasetPanelState;
    /** The row under the cursor. */
    'dataset/show': { row: number };
  };
};
