import type { Collective } from './collective';

const nothing = async () => {};

/** One rank: there is nobody to do anything with. */
export const SOLO: Collective = {
  rank: 0,
  worldSize: 1,
  localRank: 0,
  localSize: 1,
  sum: nothing,
  sumParts: nothing,
  gatherParts: nothing,
  collect: async (own, _parts, whole) => {
    if (whole !== own) whole?.set(own);
  },
  spread: async (own, _parts, whole) => {
    if (whole && whole !== own) own.set(whole);
  },
  broadcast: nothing,
  barrier: nothing,
  close: nothing,
};
