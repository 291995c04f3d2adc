export const LANGUAGES: readonly string[];
export function collectTexts(): Promise<Record<string, string | { message: string; comment: string[] }>>;
