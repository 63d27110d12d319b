import { equal } from '../../../bytes/bytes.ts';

/** What tells one configuration from another. */
export interface ConfigurationVersion {
  readonly version: number;
  /** SHA-256 of the content. */
  readonly contentHash: Uint8Array;
}

/**
 * What to do with an authentic configuration that is offered: `apply` it; nothing, as it is what there
 * is (`unchanged`); refuse it as a replay of the past (`older`); or refuse it and raise the alarm, as
 * somebody signed two configurations under one version (`conflict`).
 */
export type VersionVerdict = 'apply' | 'unchanged' | 'older' | 'conflict';

/** Compares with what was applied last; `undefined`: nothing ever was. */
export function admitVersion(
  current: ConfigurationVersion | undefined,
  offered: ConfigurationVersion,
): VersionVerdict {
  if (current === undefined || offered.version > current.version) return 'apply';
  if (offered.version < current.version) return 'older';
  return equal(offered.contentHash, current.contentHash) ? 'unchanged' : 'conflict';
}
