/** A list of what the hub has that follows what is typed. */
import * as l10n from '@vscode/l10n';
import { BACK, type Choice, pickStep } from './pickStep';

const TYPING_MS = 300;

/** @returns undefined where the person went away */
export async function pickOnHub<T extends NonNullable<unknown>>(ask: {
  title: string;
  placeholder: string;
  /** What stands in the list where nothing is found. */
  nothing: string;
  /** Before something is typed. */
  known: Choice<T>[];
  search(text: string, signal: AbortSignal): Promise<Choice<T>[]>;
}): Promise<T | undefined> {
  const { title, placeholder, nothing, known } = ask;
  const search = async (text: string, signal: AbortSignal): Promise<Choice<T>[]> => {
    try {
      const found = await ask.search(text, signal);
      if (found.length > 0) return found.map((item) => ({ ...item, alwaysShow: true }));
      return [{ label: nothing, alwaysShow: true }];
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return [{ label: `$(warning) ${l10n.t('The hub did not answer')}`, detail: message, alwaysShow: true }];
    }
  };
  const answer = await pickStep<T>({
    title,
    step: 1,
    totalSteps: 1,
    placeholder,
    items: known,
    onType: (text, update, signal) => {
      update([{ label: `$(loading~spin) ${l10n.t('Searching…')}`, alwaysShow: true }], true);
      const timer = setTimeout(async () => {
        const found = await search(text, signal);
        if (!signal.aborted) update(found, false);
      }, TYPING_MS);
      signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
    },
  });
  return answer === BACK ? undefined : answer;
}
