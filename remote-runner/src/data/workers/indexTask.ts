import { buildIndex } from '../index/buildIndex';
import { openFile } from '../index/byteSource';
import type { TaskHandlers } from './tasks';

export const indexTask: TaskHandlers['index'] = async ({ path, ...work }, tell, signal) => {
  const source = await openFile(path);
  try {
    await buildIndex(source, work, tell, signal);
    return null;
  } finally {
    await source.close();
  }
};
