/** Return values of PKCS #11 functions that something follows from (PKCS #11 v2.40 §4, CKR_). */
export const ReturnValue = {
  ok: 0x00,
  deviceError: 0x30,
  deviceRemoved: 0x32,
  keyHandleInvalid: 0x60,
  mechanismInvalid: 0x70,
  objectHandleInvalid: 0x82,
  pinIncorrect: 0xa0,
  pinInvalid: 0xa1,
  pinLenRange: 0xa2,
  pinExpired: 0xa3,
  pinLocked: 0xa4,
  sessionClosed: 0xb0,
  sessionHandleInvalid: 0xb3,
  tokenNotPresent: 0xe0,
  userAlreadyLoggedIn: 0x100,
  userNotLoggedIn: 0x101,
  alreadyInitialized: 0x191,
} as const;

/** The PIN was looked at and not taken: another attempt with it brings the token nearer to its lock. */
export const pinRefusals: ReadonlySet<number> = new Set([
  ReturnValue.pinIncorrect,
  ReturnValue.pinInvalid,
  ReturnValue.pinLenRange,
  ReturnValue.pinExpired,
  ReturnValue.pinLocked,
]);

/** The session, or the token behind it, is gone: with a new one the same call may go well. */
export const sessionLosses: ReadonlySet<number> = new Set([
  ReturnValue.deviceError,
  ReturnValue.deviceRemoved,
  ReturnValue.keyHandleInvalid,
  ReturnValue.objectHandleInvalid,
  ReturnValue.sessionClosed,
  ReturnValue.sessionHandleInvalid,
  ReturnValue.tokenNotPresent,
  ReturnValue.userNotLoggedIn,
]);

/** CKM_ */
export const Mechanism = {
  ecKeyPairGen: 0x1040,
  ecdsa: 0x1041,
  ecEdwardsKeyPairGen: 0x1055,
  eddsa: 0x1057,
} as const;

/** CKA_ */
export const Attribute = {
  class: 0x00,
  token: 0x01,
  private: 0x02,
  label: 0x03,
  keyType: 0x100,
  id: 0x102,
  sensitive: 0x103,
  sign: 0x108,
  verify: 0x10a,
  extractable: 0x162,
  neverExtractable: 0x164,
  alwaysSensitive: 0x165,
  ecParams: 0x180,
  ecPoint: 0x181,
} as const;

/** CKO_ */
export const ObjectClass = { publicKey: 2, privateKey: 3 } as const;

/** Says a return value by name if it has one here, and by number always. */
export function describeReturnValue(value: number): string {
  const known = Object.entries(ReturnValue).find(([, code]) => code === value);
  const hex = `0x${value.toString(16)}`;
  return known === undefined
    ? hex
    : `${known[0].replace(/([A-Z])/g, ' $1').toLowerCase()} (${hex})`;
}
