import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';
import type { Timers } from '../timers.ts';
import { KeyManagerError } from './key-manager.ts';
import { describeReturnValue, ReturnValue } from './pkcs11-codes.ts';

/** A function of the module answered with something other than CKR_OK. */
export class Pkcs11Error extends Error {
  override readonly name = 'Pkcs11Error';
  /** CKR_; -1: no answer came in time. */
  readonly code: number;

  constructor(call: Pkcs11Function, code: number) {
    super(
      `${call} ${code === NO_ANSWER ? 'did not answer in time' : `failed: ${describeReturnValue(code)}`}`,
    );
    this.code = code;
  }
}

/** The `code` of a {@link Pkcs11Error} for a call that is still under way. */
export const NO_ANSWER = -1;

/** Numbers are CK_ULONG; bytes are passed by address and may be written to; null is NULL_PTR. */
export type Pkcs11Argument = number | Uint8Array | null;

export interface Pkcs11ModuleOptions {
  /** Of the shared library. */
  readonly path: string;
  readonly timers: Timers;
  /** For one call: a device in a network can take its time, but not for ever. */
  readonly timeoutMs: number;
}

/**
 * A PKCS #11 module (OASIS PKCS #11 Base Specification v2.40), called through its function list. The
 * one place of this room that calls foreign code. Every call runs on a thread of Node's pool, so that
 * a slow device does not stop the authority; too many that hang are not added to.
 */
export class Pkcs11Module {
  readonly #options: Pkcs11ModuleOptions;
  readonly #loaded: LoadedModule;
  #hanging = 0;
  #closed = false;

  private constructor(options: Pkcs11ModuleOptions, loaded: LoadedModule) {
    this.#options = options;
    this.#loaded = loaded;
  }

  /** Loads and initialises a module. Rejects with {@link KeyManagerError}. */
  static async open(options: Pkcs11ModuleOptions): Promise<Pkcs11Module> {
    const loaded = loadOnce(options.path);
    loaded.users += 1;
    const module = new Pkcs11Module(options, loaded);
    try {
      await module.#initialise();
      return module;
    } catch (error) {
      loaded.users -= 1;
      const problem = error instanceof Error ? error.message : String(error);
      throw new KeyManagerError(`${options.path}: ${problem}`, { cause: error });
    }
  }

  /** Rejects with {@link Pkcs11Error}. The bytes given must not be used before this settles. */
  call(name: Pkcs11Function, ...args: readonly Pkcs11Argument[]): Promise<void> {
    if (this.#hanging >= MAX_HANGING) return Promise.reject(new Pkcs11Error(name, NO_ANSWER));
    const { timers, timeoutMs } = this.#options;
    return new Promise((resolve, reject) => {
      let late = false;
      const cancel = timers.after(timeoutMs, () => {
        late = true;
        this.#hanging += 1;
        reject(new Pkcs11Error(name, NO_ANSWER));
      });
      const settle = (error: unknown, code: number): void => {
        cancel();
        if (late) this.#hanging -= 1;
        else if (error instanceof Error) reject(error);
        else if (code === ReturnValue.ok) resolve();
        else reject(new Pkcs11Error(name, code));
      };
      this.#loaded.functions.get(name)?.async(...args, settle);
    });
  }

  /** Address of bytes that stay where they are as long as somebody holds them. */
  addressOf(bytes: Uint8Array): bigint {
    return this.#loaded.addressOf(bytes);
  }

  /** The last one to close a module finalises it, unless calls still hang in it. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#loaded.users -= 1;
    if (this.#loaded.users > 0 || this.#hanging > 0) return;
    await this.call('C_Finalize', null);
  }

  async #initialise(): Promise<void> {
    // CK_C_INITIALIZE_ARGS: four callbacks, flags, reserved. CKF_OS_LOCKING_OK, as calls come from
    // several threads.
    const args = Buffer.alloc(48);
    args.writeBigUInt64LE(2n, 32);
    try {
      await this.call('C_Initialize', args);
    } catch (error) {
      const isDone = error instanceof Pkcs11Error && error.code === ReturnValue.alreadyInitialized;
      if (!isDone) throw error;
    }
  }
}

export type Pkcs11Function = keyof typeof functions;

/** Where each function stands in CK_FUNCTION_LIST, and its arguments: u is CK_ULONG, p any pointer. */
const functions = {
  C_Initialize: [0, 'p'],
  C_Finalize: [1, 'p'],
  C_GetSlotList: [4, 'bpp'],
  C_GetTokenInfo: [6, 'up'],
  C_GetMechanismList: [7, 'upp'],
  C_OpenSession: [12, 'uuppp'],
  C_CloseSession: [13, 'u'],
  C_Login: [18, 'uupu'],
  C_DestroyObject: [22, 'uu'],
  C_GetAttributeValue: [24, 'uupu'],
  C_FindObjectsInit: [26, 'upu'],
  C_FindObjects: [27, 'upup'],
  C_FindObjectsFinal: [28, 'u'],
  C_SignInit: [42, 'upu'],
  C_Sign: [43, 'upupp'],
  C_GenerateKeyPair: [59, 'uppupupp'],
} as const;

/** `Object.keys`, with its type. */
const pkcs11Functions = Object.keys(functions) as readonly Pkcs11Function[];

interface LoadedModule {
  /** Kept, as the code goes from memory when this is collected, whatever of it is still called. */
  readonly library: Koffi.LibraryHandle;
  readonly functions: ReadonlyMap<Pkcs11Function, NativeFunction>;
  readonly addressOf: (bytes: Uint8Array) => bigint;
  users: number;
}

/** As koffi makes it of an address. */
interface NativeFunction {
  /** Calls on a thread of Node's pool; the last argument is called back here. */
  async(...args: readonly unknown[]): void;
}

/** A library is initialised once for a process, however many key managers use it. */
const loadedModules = new Map<string, LoadedModule>();

function loadOnce(path: string): LoadedModule {
  const known = loadedModules.get(path);
  if (known !== undefined) return known;
  // The sizes and offsets here and in `pkcs11-token.ts` are those of these platforms (LP64).
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
    throw new KeyManagerError('PKCS #11 is supported on Linux, x64 and arm64');
  }
  const loaded = load(path);
  loadedModules.set(path, loaded);
  return loaded;
}

function load(path: string): LoadedModule {
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
    const library = koffi.load(path);
    const getList = library.func('ulong C_GetFunctionList(void *list)');
    const pointer = Buffer.alloc(8);
    const code: unknown = getList(pointer);
    if (code !== ReturnValue.ok) throw new Error(`C_GetFunctionList: ${String(code)}`);
    const list = pointer.readBigUInt64LE();
    // CK_VERSION, padded, then the pointers.
    const table = Buffer.from(koffi.view(list, 8 + 8 * FUNCTION_COUNT));
    const bound = pkcs11Functions.map((name): [Pkcs11Function, NativeFunction] => {
      const [index, shape] = functions[name];
      const types = Array.from(shape, (letter) => argumentTypes[letter] ?? 'void *');
      const address = table.readBigUInt64LE(8 + 8 * index);
      return [name, koffi.decode(address, koffi.proto('ulong', types)) as NativeFunction];
    });
    return {
      library,
      functions: new Map(bound),
      addressOf: (bytes) => koffi.address(bytes),
      users: 0,
    };
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new KeyManagerError(`${path} is no PKCS #11 module: ${problem}`, { cause: error });
  }
}

const argumentTypes: Readonly<Record<string, string>> = { b: 'uint8_t', u: 'ulong', p: 'void *' };
const FUNCTION_COUNT = 68;
/** Node's pool has four threads unless told otherwise; files and names need some of them. */
const MAX_HANGING = 2;
