/** A story in chapters, each a test, each going on where the one before ended. */
import { afterEach, beforeEach } from 'vitest';
import type { VsCode } from './vsCode';
import type { Window } from './window';

/** When one has failed, the others are skipped, and a picture and the log tell what was on the screen. */
export function chapters(now: () => { code: VsCode; window: Window } | undefined): void {
  let failed: string | undefined;
  beforeEach(({ skip }) => skip(failed !== undefined, `after "${failed}" failed`));
  afterEach(async ({ task }) => {
    if (failed !== undefined || task.result?.state !== 'fail') return;
    failed = task.name;
    const open = now();
    if (!open) return;
    await open.window.screenshot(`failed-${task.name.replaceAll(/\W+/g, '-').slice(0, 60)}`);
    const toasts = await open.window.toasts();
    const rows = await open.window.rows.evaluateAll((all) => all.map((row) => row.getAttribute('aria-label')));
    process.stderr.write(
      `On the screen: ${toasts.join(' | ') || 'no message'}\n${rows.join('\n')}\n${await open.code.output()}\n`,
    );
  });
}
