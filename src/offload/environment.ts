/** What the environment says about the sidecar; absent where a variable is unset or empty. */
export interface OffloadEnvironment {
  readonly address: string | undefined;
  readonly token: string | undefined;
  readonly tokenFile: string | undefined;
  readonly identity: string | undefined;
  readonly recordCipher: string | undefined;
}

/** The one place of this library that reads `process.env`. */
export function readEnvironment(): OffloadEnvironment {
  return {
    address: variable('SIDEKEY_ADDRESS'),
    token: variable('S2A_ACCESS_TOKEN'),
    tokenFile: variable('SIDEKEY_TOKEN_FILE'),
    identity: variable('SIDEKEY_IDENTITY'),
    recordCipher: variable('SIDEKEY_RECORD_CIPHER'),
  };
}

function variable(name: string): string | undefined {
  const value = process.env[name];
  return value === undefined || value === '' ? undefined : value;
}
