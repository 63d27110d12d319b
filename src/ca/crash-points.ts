/**
 * Named places at which a process can be made to die, for tests of crash safety: where
 * SIDEKEY_CRASH_AT names the place, the process kills itself there with SIGKILL. `renew.after_sign:3`
 * is the third time that it is reached, `renew.after_insert>write.after_commit` the first commit after
 * another place was reached. Without it, nothing happens.
 */
export function crashPoint(name: string): void {
  const [next, ...rest] = targets;
  if (next?.name !== name) return;
  next.left -= 1;
  if (next.left > 0) return;
  if (rest.length === 0) process.kill(process.pid, 'SIGKILL');
  targets = rest;
}

/** The same from within the process, once it has come far enough; text as of SIDEKEY_CRASH_AT. */
export function armCrashPoint(text: string): void {
  targets = readTargets(text);
}

interface Target {
  readonly name: string;
  left: number;
}

function readTargets(text: string | undefined): readonly Target[] {
  if (text === undefined || text === '') return [];
  return text.split('>').map((place) => {
    const [name = '', times = '1'] = place.split(':');
    return { name, left: Number.parseInt(times, 10) || 1 };
  });
}

let targets = readTargets(process.env['SIDEKEY_CRASH_AT']);
