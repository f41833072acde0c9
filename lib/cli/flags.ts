// The library speaks of options as its callers write them; a person at a command line typed flags.
import { meantOption } from '../text/options';
import { trainFields } from '../train/options';

/** `maxLength` as it is typed: `--max-length`. */
export function flagOf(option: string): string {
  return `--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** `--max-length`, `max-length` and `maxLength` as the library has it. */
export function optionOf(typed: string): string {
  return typed.replace(/^--/, '').replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** The flag among `options` (in the library's terms) that was probably meant by what was typed. */
export function meantFlag(typed: string, options: readonly string[]): string | undefined {
  const meant = meantOption(optionOf(typed), options);
  return meant === undefined ? undefined : flagOf(meant);
}

/** A message of the library's by the flags that were typed: `train options: evalEvery …`, `raise maxLength (--max-length)`. */
export function inFlags(message: string): string {
  return message
    .replace(/^(train options|resume): ([A-Za-z]+)\b/, (whole, where: string, option: string) => {
      if (!Object.hasOwn(trainFields.shape, option)) return whole;
      return where === 'resume' ? `resume: ${flagOf(option)}` : flagOf(option);
    })
    .replace(/\b([a-z][A-Za-z]*) \((--[a-z][a-z-]*)\)/g, (whole, option: string, flag: string) =>
      flagOf(option) === flag ? flag : whole,
    );
}
