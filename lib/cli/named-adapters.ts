// Adapters by name: what serve and chat call models by, and how they are loaded.
import { basename } from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import { Adapter } from '../model/adapter';
import { refuseNoAdapter } from '../model/kinds';
import type { Model } from '../model/model';
import { note } from './output';

/** `NAME=DIR`, may be given several times. */
export function namedAdapterFlag(): Option {
  return new Option(
    '--adapter <name=dir>',
    'a PEFT folder and what to call it; may be given several times',
  ).argParser(parseNamed);
}

function parseNamed(text: string, previous: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at <= 0 || at === text.length - 1) {
    throw new InvalidArgumentError("Expected NAME=DIR, as in 'finnish=runs/fi/adapter'.");
  }
  const name = text.slice(0, at);
  if (Object.hasOwn(previous, name)) throw new InvalidArgumentError(`Two adapters are called '${name}'.`);
  return { ...previous, [name]: text.slice(at + 1) };
}

/** What a base is called: the last part of its path or of its name on the hub, without `.gguf`. */
export function baseNameOf(model: string): string {
  const plain = model.replace(/^hf:/, '').replace(/@.*$/s, '').replace(/\/+$/, '');
  return basename(plain).replace(/\.gguf$/i, '') || 'base';
}

/** Before the model is loaded: whether these are adapters at all. */
export async function refuseNoAdapters(folders: Readonly<Record<string, string>>): Promise<void> {
  for (const folder of Object.values(folders)) await refuseNoAdapter(folder);
}

export async function loadNamed(
  model: Model,
  folders: Readonly<Record<string, string>>,
): Promise<Record<string, Adapter>> {
  const adapters: Record<string, Adapter> = {};
  for (const [name, folder] of Object.entries(folders)) {
    adapters[name] = await Adapter.load(model, folder, { onNote: note });
  }
  return adapters;
}
