/** What opens panels, and what brings them back after a reload. Panels themselves are loaded when one is needed. */
import type { CompareState, LossState } from '@protocol/panels';
import * as vscode from 'vscode';
import type { Commands } from '../commands';
import type { HostRun, RunRef } from '../runs/runs';
import type { Services } from '../services';
import { COMPARE_PANEL, DATASET_PANEL, LOSS_PANEL } from './panelTypes';

/** What the runs view passes: a run, by its summary or its id, and perhaps one of its checkpoints. */
interface RunItem {
  host: string;
  run: HostRun | string;
  checkpoint?: { step: number };
}

export function panelCommands(services: Services): Commands {
  return {
    'tuneyard.previewData': async (argument?: unknown) => {
      const { previewData } = await import('./datasetPanel');
      await previewData(services, argument);
    },
    'tuneyard.host.previewData': async (item?: { host?: string }) => {
      const { previewHostData } = await import('./datasetPanel');
      await previewHostData(services, item?.host);
    },
    'tuneyard.showLoss': async (item?: RunItem) => {
      const { showLoss } = await import('./lossPanel');
      showLoss(services, item && refOf(item));
    },
    'tuneyard.compare': async (item?: RunItem) => {
      const { showCompare } = await import('./comparePanel');
      await showCompare(services, item ? refOf(item) : newestDone(services), item?.checkpoint?.step);
    },
  };
}

/** VS Code opens the panels of the last window again, with what their pages kept. */
export function registerPanels(services: Services): vscode.Disposable {
  return vscode.Disposable.from(
    vscode.window.registerWebviewPanelSerializer(LOSS_PANEL, {
      async deserializeWebviewPanel(panel, kept: Partial<LossState> | undefined) {
        const { fillLossPanel } = await import('./lossPanel');
        fillLossPanel(services, panel, kept);
      },
    }),
    vscode.window.registerWebviewPanelSerializer(COMPARE_PANEL, {
      async deserializeWebviewPanel(panel, kept: Partial<CompareState> | undefined) {
        const { fillComparePanel } = await import('./comparePanel');
        fillComparePanel(services, panel, kept);
      },
    }),
    vscode.window.registerWebviewPanelSerializer(DATASET_PANEL, {
      async deserializeWebviewPanel(panel, kept: { path?: string; host?: string } | undefined) {
        const { restoreDatasetPanel } = await import('./datasetPanel');
        await restoreDatasetPanel(services, panel, kept);
      },
    }),
  );
}

const refOf = ({ host, run }: RunItem): RunRef => ({ host, run: typeof run === 'string' ? run : run.id });

function newestDone({ runs }: Services): RunRef | undefined {
  const run = runs.list().find(({ state }) => state === 'completed' || state === 'stopped') ?? runs.list()[0];
  return run && { host: run.host, run: run.id };
}
