import { expect } from 'chai';
import type { writeSync } from 'node:fs';
import { logOutput } from '../../../src/apps/sidecar/log-output.ts';

describe('logOutput', () => {
  /** A file that takes at most so many bytes at once, and none while it is full. */
  function file(mostBytes = Infinity) {
    const state = { text: '', isFull: false };
    const write = ((_fd: number, bytes: Buffer, offset: number) => {
      if (state.isFull) throw new Error('ENOSPC: no space left on device, write');
      const part = bytes.subarray(offset, offset + mostBytes);
      state.text += part.toString('latin1');
      return part.length;
    }) as typeof writeSync;
    return { state, output: logOutput(1, write) };
  }

  it('writes lines whole, however little goes in at once', () => {
    const { state, output } = file(3);
    output.write('one line\n');
    output.write('another\n');
    expect(state.text).to.equal('one line\nanother\n');
  });

  it('drops what cannot be written, and says how much once it can', () => {
    const { state, output } = file();
    state.isFull = true;
    output.write('lost\n');
    output.write('lost, too\n');
    state.isFull = false;
    output.write('kept\n');
    output.write('kept, too\n');
    const [report, ...lines] = state.text.split('\n');
    expect(JSON.parse(report!)).to.include({ level: 40, lost: 2, msg: 'log lines were lost' });
    expect(lines).to.deep.equal(['kept', 'kept, too', '']);
  });
});
