/** One question of several, as a quick pick: its number in the title, a way back, a default on top. */
import * as vscode from 'vscode';

export interface Choice<T> extends vscode.QuickPickItem {
  value?: T;
}

export interface Step<T> {
  title: string;
  step: number;
  totalSteps: number;
  placeholder: string;
  items: Choice<T>[];
  canGoBack?: boolean;
  /** Called when the list is shown: may give better items later, until the signal is aborted. */
  refine?(update: (items: Choice<T>[]) => void, signal: AbortSignal): void;
  /** Called at each change of what is typed. */
  onType?(text: string, update: (items: Choice<T>[], busy: boolean) => void, signal: AbortSignal): void;
}

export const BACK = Symbol('back');

/** What was chosen; {@link BACK}; undefined where the person went away. */
export function pickStep<T>(step: Step<T>): Promise<T | typeof BACK | undefined> {
  const { title, totalSteps, placeholder, items, canGoBack, refine, onType } = step;
  const pick = vscode.window.createQuickPick<Choice<T>>();
  Object.assign(pick, {
    title,
    placeholder,
    items,
    ignoreFocusOut: true,
    matchOnDescription: true,
    matchOnDetail: true,
  });
  if (totalSteps > 1) Object.assign(pick, { step: step.step, totalSteps });
  if (canGoBack) pick.buttons = [vscode.QuickInputButtons.Back];
  const open = new AbortController();
  let typed = new AbortController();

  const show = (fresh: Choice<T>[]) => {
    if (open.signal.aborted) return;
    // What somebody has moved to stays chosen.
    const [active] = pick.activeItems;
    const moved =
      active !== undefined && active !== pick.items.find(({ kind }) => kind !== vscode.QuickPickItemKind.Separator);
    pick.keepScrollPosition = true;
    pick.items = fresh;
    const same = moved ? fresh.find(({ value }) => value !== undefined && value === active.value) : undefined;
    if (same) pick.activeItems = [same];
  };
  return new Promise((settle) => {
    pick.onDidAccept(() => {
      const [chosen] = pick.selectedItems;
      if (chosen?.value === undefined) return;
      settle(chosen.value);
      pick.hide();
    });
    pick.onDidTriggerButton(() => {
      settle(BACK);
      pick.hide();
    });
    pick.onDidChangeValue((text) => {
      typed.abort();
      typed = new AbortController();
      const { signal } = typed;
      onType?.(
        text,
        (found, busy) => {
          if (signal.aborted) return;
          pick.busy = busy;
          show(found);
        },
        AbortSignal.any([signal, open.signal]),
      );
    });
    pick.onDidHide(() => {
      open.abort();
      typed.abort();
      settle(undefined);
      pick.dispose();
    });
    pick.show();
    refine?.(show, open.signal);
  });
}

/** A heading between choices. */
export function heading<T>(label: string): Choice<T> {
  return { label, kind: vscode.QuickPickItemKind.Separator };
}
