/** One notification for one task: what is being done, how far it is, a way to cancel. */
import * as vscode from 'vscode';

/** `fraction`: 0 to 1, of the stage. */
export type Report = (stage: string, fraction?: number) => void;

/** @throws TuneyardError `cancelled`, from the task, where the person cancels */
export function withProgress<T>(title: string, task: (report: Report, signal: AbortSignal) => Promise<T>): Promise<T> {
  const options = { location: vscode.ProgressLocation.Notification, title, cancellable: true };
  return Promise.resolve(
    vscode.window.withProgress(options, (progress, token) => {
      const controller = new AbortController();
      token.onCancellationRequested(() => controller.abort());
      const report: Report = (stage, fraction) => {
        const share = fraction === undefined ? '' : ` ${Math.round(fraction * 100)}%`;
        progress.report({ message: `${stage}${share}` });
      };
      return task(report, controller.signal);
    }),
  );
}
