/**
 * Named places at which a process can be made to die, for tests of crash safety: where
 * SIDEKEY_CRASH_AT names the place (`enroll.before_commit`, or `enroll.before_commit:3` for the third
 * time it is reached), the process kills itself there with SIGKILL. Without it, nothing happens.
 */
export function crashPoint(name: string): void {
  if (target?.name !== name) return;
  target.left -= 1;
  if (target.left <= 0) process.kill(process.pid, 'SIGKILL');
}

/** The same from within the process, once it has come far enough; text as of SIDEKEY_CRASH_AT. */
export function armCrashPoint(text: string): void {
  target = readTarget(text);
}

function readTarget(text: string | undefined): { readonly name: string; left: number } | undefined {
  if (text === undefined || text === '') return undefined;
  const [name = '', times = '1'] = text.split(':');
  return { name, left: Number.parseInt(times, 10) || 1 };
}

let target = readTarget(process.env['SIDEKEY_CRASH_AT']);
