import { showError } from '../commands';
import type { Services } from '../services';

/** What a person asked for in a page: it ends in a message to that person, never in the page. */
export const toldIn =
  ({ log }: Pick<Services, 'log'>) =>
  async (work: () => unknown): Promise<null> => {
    try {
      await work();
    } catch (error) {
      void showError(error, log);
    }
    return null;
  };
