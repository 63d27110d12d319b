import { loadSync, type PackageDefinition } from '@grpc/proto-loader';
import { fileURLToPath } from 'node:url';

/** The published protocol, for server reflection; read from the files of this package. */
export function loadDescriptors(): PackageDefinition {
  const directory = fileURLToPath(new URL('../../proto', import.meta.url));
  return loadSync(['s2a/proto/s2a.proto', 'sidekey/v1/workload.proto'], {
    includeDirs: [directory],
  });
}
