// How a model or a data set of a hub is called, the same for both: `hf:owner/name[@revision][:path]`.

export interface HubReference {
  /** `owner/name`. */
  repo: string;
  /** A branch, a tag or a commit. Default `main`. */
  revision: string;
  /** A file in it (of a data set also a folder or a pattern); absent where the repository leaves no choice. */
  path?: string;
}

const COMMIT = /^[0-9a-f]{40}$/;

export function isHubReference(name: string): boolean {
  return name.startsWith('hf:');
}

/** A revision that can't move. */
export function isCommit(revision: string): boolean {
  return COMMIT.test(revision);
}

/** @throws RangeError for what is no `hf:owner/name[@revision][:path]` */
export function parseHubReference(name: string): HubReference {
  const [, repo, revision, path] =
    /^hf:([\w-][\w.-]*(?:\/[\w-][\w.-]*)?)(?:@([^:\s]+))?(?::(.+))?$/.exec(name) ?? [];
  const escapes = [revision, path].some((part) => part?.split('/').includes('..'));
  if (repo === undefined || escapes)
    throw new RangeError(`expected hf:owner/name[@revision][:path], got '${name}'`);
  return {
    repo,
    revision: revision ?? 'main',
    ...(path !== undefined && { path: path.replace(/^\/+/, '') }),
  };
}

/** The name that {@link parseHubReference} reads as the same; a path in place of the reference's own. */
export function formatHubReference({ repo, revision, path }: HubReference): string {
  return `hf:${repo}${revision === 'main' ? '' : `@${revision}`}${path === undefined ? '' : `:${path}`}`;
}
