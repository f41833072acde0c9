// The library speaks of options as its callers write them; a person at a command line typed flags.
import { trainFields } from '../train/options';

/** `maxLength` as it is typed: `--max-length`. */
export function flagOf(option: string): string {
  return `--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
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
