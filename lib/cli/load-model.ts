// A model as the flags say it, with a bar while its weights are read: what every command does that has a model in its own hands.
import { Adapter } from '../model/adapter';
import { refuseNoAdapter } from '../model/kinds';
import { Model } from '../model/model';
import { ChatTemplate } from '../model/template';
import { type ModelFlags, toModelOptions } from './common';
import { fetchProgress, note, Progress } from './output';

/** The model alone, for who speaks to it by a template of his own. */
export async function loadBase(flags: ModelFlags, signal: AbortSignal): Promise<Model> {
  const bar = new Progress('load');
  try {
    return await Model.load({
      ...toModelOptions(flags),
      signal,
      onProgress: (fraction) => bar.update(fraction, 'weights'),
      onNote: note,
      onFetch: fetchProgress(),
    });
  } finally {
    bar.end();
  }
}

/** A model, how it is spoken to, and adapters on it. */
export interface LoadedModel extends AsyncDisposable {
  model: Model;
  template: ChatTemplate;
  /** In the order of their folders. */
  adapters: Adapter[];
}

/** A folder that is no adapter is refused before weights are read. */
export async function loadModel(
  flags: ModelFlags & { template: string },
  folders: readonly string[],
  signal: AbortSignal,
): Promise<LoadedModel> {
  for (const folder of folders) await refuseNoAdapter(folder);
  const model = await loadBase(flags, signal);
  try {
    const template = await ChatTemplate.create({ template: flags.template, tokenizer: model.tokenizer });
    if (template.note !== undefined) note(template.note);
    const adapters: Adapter[] = [];
    for (const folder of folders) adapters.push(await Adapter.load(model, folder, { onNote: note }));
    return { model, template, adapters, [Symbol.asyncDispose]: () => model.dispose() };
  } catch (error) {
    await model.dispose();
    throw error;
  }
}
