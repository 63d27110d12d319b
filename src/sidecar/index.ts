export { parseSidecarConfig, type SidecarConfig } from './config.ts';
export { ConfigurationError } from './configuration-error.ts';
export { checkSidecar, type Sidecar, type SidecarOptions, startSidecar } from './sidecar.ts';
