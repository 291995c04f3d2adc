/** Says when a checkpoint is whole: it is written last. */
export const MANIFEST_FILE = 'manifest.json';
