// Data that lies in a page without being part of it: deflated, as text that a browser neither shows nor runs, inflated by the
// page's script when somebody looks (client/unpack.ts). So a page of many megabytes opens as fast as an empty one.
import { deflateSync } from 'node:zlib';
import { type Html, html, trusted } from './html';

/** What a block's script element says it is; no browser runs such a script. */
export const PACKED_TYPE = 'application/octet-stream+deflate';

/**
 * A block that the page's script finds by `id`. Equal data gives equal bytes on one version of Node.
 *
 * @param data text is written as UTF-8
 */
export function packedBlock(id: string, data: string | Uint8Array): Html {
  const packed = deflateSync(data, { level: 6 }).toString('base64');
  return html`<script type="${PACKED_TYPE}" id="${id}">${trusted(packed)}</script>\n`;
}
