// What tests use of combinations.mjs.
export const combinations: Record<string, object>;
