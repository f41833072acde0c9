// Types of wordings.mjs, for the tests.
export const WORDINGS: Record<string, Record<'emoji' | 'flag', { train: string[]; test: string[] }>>;
