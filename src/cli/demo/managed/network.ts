import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** Where the hosts of the managed fleet are: one of them, where that can be done, behind a network of its own. */
export interface DemoNetwork {
  /** Address at which all hosts reach the authority and the manager. */
  readonly meetingPoint: string;
  /** What to put before a command to run it in the network apart; absent: there is none. */
  readonly apart: readonly string[] | undefined;
  /** Why there is none; empty: there is. */
  readonly obstacle: string;
  /** Programs in the network apart that wait for connections, one line each. */
  listeners(): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** Makes a network namespace with one link to this one, if this system and user can. */
export async function openNetwork(): Promise<DemoNetwork> {
  const name = `sidekey-demo-${String(process.pid)}`;
  const subnet = `198.18.${String(process.pid % 256)}`;
  const ours = `skd${String(process.pid)}`;
  const close = async (): Promise<void> => {
    // The link goes with the namespace; neither has to be there.
    await ip('netns', 'delete', name).catch(() => undefined);
  };
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    return none('only root can make one');
  try {
    await ip('netns', 'add', name);
    await ip('link', 'add', ours, 'type', 'veth', 'peer', 'name', 'up0', 'netns', name);
    await ip('address', 'add', `${subnet}.1/30`, 'dev', ours);
    await ip('link', 'set', ours, 'up');
    await ip('-n', name, 'address', 'add', `${subnet}.2/30`, 'dev', 'up0');
    await ip('-n', name, 'link', 'set', 'up0', 'up');
  } catch (error) {
    await close();
    const why = error instanceof Error ? (error.message.trim().split('\n').at(-1) ?? '') : '';
    return none(`it cannot be made here: ${why}`);
  }
  const apart = ['ip', 'netns', 'exec', name];
  return {
    meetingPoint: `${subnet}.1`,
    apart,
    obstacle: '',
    listeners: async () => {
      const { stdout } = await run('ip', [
        ...apart.slice(1),
        'cat',
        '/proc/net/tcp',
        '/proc/net/tcp6',
      ]);
      return stdout.split('\n').filter((line) => listeningState.test(line));
    },
    close,
  };
}

function none(obstacle: string): DemoNetwork {
  return {
    meetingPoint: '127.0.0.1',
    apart: undefined,
    obstacle,
    listeners: () => Promise.resolve([]),
    close: () => Promise.resolve(),
  };
}

async function ip(...args: readonly string[]): Promise<void> {
  await run('ip', [...args]);
}

const run = promisify(execFile);
/** Column `st` of proc_net_tcp(5): TCP_LISTEN. */
const listeningState = /^\s*\d+: [0-9A-F]+:[0-9A-F]{4} [0-9A-F]+:0000 0A /u;
