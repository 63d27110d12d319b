/** Some of the simulated agents, in a process of their own: told what to do by messages, and telling how they are. */
import { FleetAuthority } from './fleet-authority.ts';
import { Simulator } from './simulator.ts';
import { type Begin, sendToParent } from './simulator-messages.ts';

const tellEveryMs = 100;
let simulator: Simulator | undefined;

process.on('message', (message: Begin | 'start' | 'stop') => {
  if (message === 'stop') process.exit(0);
  else if (message === 'start') {
    void simulator?.start(dialsAtOnce).then(() => {
      sendToParent('up');
    });
  } else {
    const { port, count, returning } = message;
    simulator = new Simulator(new FleetAuthority(message.authority), port, count, returning);
    sendToParent('ready');
    setInterval(tell, tellEveryMs);
  }
});
process.on('disconnect', () => process.exit(1));

function tell(): void {
  if (simulator === undefined) return;
  const { connected, heartbeats, failures, lastFailure } = simulator;
  sendToParent({ connected, heartbeats, failures, lastFailure });
}

const dialsAtOnce = 16;
