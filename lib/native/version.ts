// The package's own version, read once from package.json by the bundler.
import { version } from '../../package.json';

export const packageVersion: string = version;
