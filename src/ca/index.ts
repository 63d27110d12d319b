export {
  type Authority,
  type AuthorityConnections,
  type AuthorityCredential,
  type AuthorityOptions,
  type ConnectionOrigin,
  openAuthority,
} from './authority.ts';
export { type AdmissionLimits, defaultAdmissionLimits } from './admission/admission.ts';
export {
  initialiseAuthority,
  type Initialised,
  type InitialiseOptions,
} from './initialise-authority.ts';
export { CryptoPool, type CryptoPoolOptions } from './keys/crypto-pool.ts';
export { type DiskKeysOptions, openDiskKeys } from './keys/disk-keys.ts';
export { type KeyManager, KeyManagerError } from './keys/key-manager.ts';
export { identifyPeer, type PeerIdentity } from './service/peer-identity.ts';
