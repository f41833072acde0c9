// Instructions that a program can check (as IFEval's, Zhou et al., 2023), for twelve languages: lengths by Unicode's own
// segmentation, letter case only in scripts that have it, and the language by the rule that measures use.
import { z } from 'zod';

const bounds = { min: z.int().min(0).optional(), max: z.int().min(0).optional() };

export const instructionCheckSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('words'), ...bounds }),
  z.strictObject({ type: z.literal('sentences'), ...bounds }),
  z.strictObject({ type: z.literal('characters'), ...bounds }),
  z.strictObject({ type: z.literal('paragraphs'), ...bounds }),
  z.strictObject({ type: z.literal('list-items'), ...bounds }),
  z.strictObject({ type: z.literal('uppercase') }),
  z.strictObject({ type: z.literal('lowercase') }),
  z.strictObject({ type: z.literal('contains'), text: z.string().min(1), min: z.int().min(1).optional() }),
  z.strictObject({ type: z.literal('excludes'), text: z.string().min(1) }),
  z.strictObject({ type: z.literal('starts-with'), text: z.string().min(1) }),
  z.strictObject({ type: z.literal('ends-with'), text: z.string().min(1) }),
  z.strictObject({ type: z.literal('language'), lang: z.string().min(2) }),
  z.strictObject({ type: z.literal('json') }),
]);

export type InstructionCheck = z.output<typeof instructionCheckSchema>;
