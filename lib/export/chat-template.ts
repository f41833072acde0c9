// Whoever loads the model elsewhere must talk to it as it was tuned: a model without a template gets the one that tuning
// took for it.
import { ChatTemplate } from '../model/template';
import type { Tokenizer } from '../model/tokenizer';
import { isMlitError } from '../native/errors';

/** The built-in that stands in for a missing template; undefined where the model has its own or none fits. */
export async function substituteTemplate(tokenizer: Tokenizer): Promise<ChatTemplate | undefined> {
  if (tokenizer.chatTemplate !== undefined) return undefined;
  try {
    return await ChatTemplate.create({ tokenizer });
  } catch (error) {
    if (isMlitError(error) && error.code === 'TEMPLATE_INVALID') return undefined;
    throw error;
  }
}
