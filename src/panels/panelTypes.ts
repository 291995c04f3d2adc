/** Names by which VS Code knows panels again after a reload; `package.json` lists them as activation events. */
export const LOSS_PANEL = 'tuneyard.loss';
export const COMPARE_PANEL = 'tuneyard.compare';
export const DATASET_PANEL = 'tuneyard.dataset';
