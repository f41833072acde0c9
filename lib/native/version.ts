// The package's own version, read once from package.json by the bundler.
import { version } from '../../package.json';

/** The package's version. */
export const packageVersion: string = version;
