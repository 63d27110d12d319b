/** Administration of an authority: what operators see and do. */
export { authorizeOperator, authorizeOwner } from './authorize.ts';
export type { AuthorityFacts } from './facts.ts';
export { registerFleetMetrics } from './fleet-metrics.ts';
export type { MintedBundles, MintOrder, RecoveryOrder, TokenMint } from './mint.ts';
export { type AdministrationOptions, createAdministration } from './service.ts';
