// Adapters by name: what serve and chat call models by.
import { basename } from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import type { Adapter } from '../model/adapter';

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

/** Adapters that were loaded from such folders, in their order. */
export function byName(
  folders: Readonly<Record<string, string>>,
  adapters: readonly Adapter[],
): Record<string, Adapter> {
  return Object.fromEntries(Object.keys(folders).map((name, at) => [name, adapters[at]!]));
}
