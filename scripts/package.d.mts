/** For tests, which are TypeScript. */
export function packageExtension(file?: string): Promise<string>;
