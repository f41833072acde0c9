// The browser's side of packed.ts.

/**
 * The bytes of the block `id`.
 *
 * @throws Error where the page has no such block, or it is damaged
 */
export async function unpackBytes(id: string): Promise<Uint8Array<ArrayBuffer>> {
  const packed = document.getElementById(id)?.textContent;
  if (packed === undefined || packed === null) throw new Error(`this page has no block ${id}`);
  const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Uint8Array(await new Response(inflated).arrayBuffer());
}

/** The value of a block that holds JSON. */
export async function unpackJson<T>(id: string): Promise<T> {
  return JSON.parse(new TextDecoder().decode(await unpackBytes(id))) as T;
}
