/**
 * What the panels and the extension say to each other: JSON-RPC over postMessage, a contract for each end of each
 * panel. Panels draw and ask; what they show is worked out in the extension.
 */

import type { CompareCell } from './compare';
import type { RankPlace } from './events';
import type { RunSummary } from './runner';

/**
 * Posted by a page when it begins, outside of JSON-RPC: pages are thrown away when hidden and made anew when shown, and
 * the other end must begin anew with them.
 */
export interface PanelReady {
  tuneyard: 'ready';
}

/** A run among all hosts. */
export interface PanelRun {
  /** A host's id. */
  host: string;
  run: string;
}

/** What a button in a panel can set going; the extension knows the command. */
export type PanelAction = 'start' | 'connect' | 'resume' | 'stop' | 'showLog' | 'compare' | 'export';

// The loss panel

export type LossAxis = 'step' | 'time' | 'tokens';

/** Which part of the runs a page shows, and how finely. */
export interface LossView {
  /** Raised with each change: frames for an older one are of no use any more. */
  id: number;
  x: LossAxis;
  /** Values that the moving average spans; absent: the extension chooses. */
  smoothing?: number;
  /** Range of x; absent: everything, also what is still to come. */
  from?: number;
  to?: number;
  /** Pixels across the large chart, and across a small one. */
  width: number;
  smallWidth: number;
}

/** Points in order of x; `null` breaks the line. */
export interface LossLine {
  x: number[];
  y: (number | null)[];
}

/** The quantities that a frame holds a line of, where the run has any. */
export const LOSS_LINES = [
  'loss',
  'smooth',
  'learning_rate',
  'grad_norm',
  'tokens_per_second',
  'memory_bytes',
  'gpu_bytes',
  'gpu_utilization',
] as const;
export type LossLineName = (typeof LOSS_LINES)[number];

export interface LossMark {
  kind: 'checkpoint' | 'warning';
  x: number;
  y: number;
  /** What the hover says. */
  notes: string[];
}

export interface LossStatus {
  /** `unknown`: the run's host has not been asked, or does not know it. */
  state: RunSummary['state'] | 'unknown';
  /** The host is not connected: this is what was seen last. */
  offline: boolean;
  hostLabel: string;
  step: number;
  total_steps: number;
  epoch?: number;
  loss?: number;
  eval_loss?: number;
  steps_per_second?: number;
  seconds_left?: number;
  /** Where several ranks train together: each one's machine and device, and seconds a step where they are known. */
  ranks?: (RankPlace & { seconds?: number })[];
  /** Of an fp16 run: steps that overflowed and changed no weight. */
  skipped_steps?: number;
  /** ISO 8601 of the last event. */
  updated?: string;
  /** Why it failed, or what it waits for. */
  message?: string;
  /** What helps now, the best first. */
  actions: PanelAction[];
}

export interface LossRun extends PanelRun {
  label: string;
  status: LossStatus;
  /** Lowest and highest x of the whole run; absent where it has no values. */
  extent?: [number, number];
  /** Log events of the whole run. */
  rows: number;
  /** Nothing of it has arrived yet, though there is something. */
  loading: boolean;
  lines: Partial<Record<LossLineName, LossLine>>;
  evals: { x: number; y: number; step: number; best: boolean }[];
  marks: LossMark[];
}

/** Everything a page draws. */
export interface LossFrame {
  /** The {@link LossView} it was made for. */
  view: number;
  /** The span that was used. */
  smoothing: number;
  runs: LossRun[];
}

/** What a page keeps over hiding, moving and reloading. */
export interface LossState {
  runs: PanelRun[];
  x: LossAxis;
  smoothing?: number;
  logarithmic: boolean;
  from?: number;
  to?: number;
  /** Keys (`host/run`) of runs that are listed but not drawn. */
  hidden: string[];
}

export type LossHostContract = {
  requests: {
    'loss/view': { params: LossView; result: LossFrame };
    'loss/pickRuns': { params: Record<string, never>; result: null };
    'loss/removeRun': { params: PanelRun; result: null };
    'loss/saveCsv': { params: Record<string, never>; result: null };
    'loss/savePng': { params: { base64: string }; result: null };
    'loss/act': { params: { action: PanelAction; run?: PanelRun }; result: null };
  };
  notifications: Record<never, never>;
};

export type LossPageContract = {
  requests: Record<never, never>;
  notifications: {
    /** For the view that was asked for last; at most 4 a second. */
    'loss/frame': LossFrame;
  };
};

// The compare panel

/** A column: weights on a host. */
export interface CompareModel {
  id: string;
  host: string;
  hostLabel: string;
  /** As the runner is given it: a path on the host, or a hub name. */
  path: string;
  kind: 'base' | 'checkpoint' | 'final';
  /** The run it came of; for a base model the one whose base it is. */
  run?: string;
  step?: number;
  best?: boolean;
  /** `run · step 130`, or the model's name. */
  label: string;
}

/** `generation` of a recipe, as far as the sampling bar has it. */
export interface Sampling {
  do_sample: boolean;
  temperature: number;
  top_k: number;
  top_p: number;
  num_beams: number;
  no_repeat_ngram_size: number;
  max_new_tokens: number;
  seed: number;
}

export interface ComparePrompt {
  id: string;
  text: string;
}

export interface CompareText {
  prompt: string;
  model: string;
  state: 'waiting' | 'running' | 'done' | 'failed';
  /** What there is so far. */
  text: string;
  /** With everything about it, once it is done. */
  cell?: CompareCell;
  /** Prompt or sampling changed since. */
  stale: boolean;
  /** Why it failed. */
  message?: string;
}

/** What a page keeps, too. */
export interface CompareState {
  models: CompareModel[];
  prompts: ComparePrompt[];
  sampling: Sampling;
  texts: CompareText[];
  /** What hosts are busy with ("gpu-1: Installing runner"), while something is being written. */
  running?: string[];
  /** Path or URI of the recipe on the person's machine, beside which preferences are kept. */
  recipe?: string;
  /** Pairs kept since the panel was opened, and where. */
  kept: number;
  keptIn?: string;
}

/** Which texts to write (anew). */
export interface CompareRun {
  /** `missing`: those that are not there, failed or are stale. */
  what: 'all' | 'missing';
  prompt?: string;
  model?: string;
}

export type CompareHostContract = {
  requests: {
    'compare/state': { params: Record<string, never>; result: CompareState };
    'compare/pickModels': { params: Record<string, never>; result: null };
    'compare/removeModel': { params: { model: string }; result: null };
    'compare/addPrompt': { params: { text: string }; result: null };
    'compare/editPrompt': { params: { prompt: string; text: string }; result: null };
    'compare/removePrompt': { params: { prompt: string }; result: null };
    'compare/setSampling': { params: Partial<Sampling>; result: null };
    'compare/run': { params: CompareRun; result: null };
    'compare/cancel': { params: Record<string, never>; result: null };
    /** Both are models that wrote a text for this prompt. */
    'compare/prefer': { params: { prompt: string; chosen: string; rejected: string }; result: null };
    'compare/openKept': { params: Record<string, never>; result: null };
    'compare/copyMarkdown': { params: Record<string, never>; result: null };
    'compare/saveJson': { params: Record<string, never>; result: null };
  };
  notifications: Record<never, never>;
};

export type ComparePageContract = {
  requests: Record<never, never>;
  notifications: {
    'compare/changed': CompareState;
    /** Texts that are being written; at most 4 times a second. */
    'compare/texts': CompareText[];
  };
};
