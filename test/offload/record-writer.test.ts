import { expect } from 'chai';
import { RecordReader } from '../../src/offload/record-reader.ts';
import { RecordWriter } from '../../src/offload/record-writer.ts';
import { ownSlab, pooledSlab } from '../../src/offload/slab-pool.ts';
import { cipherSuites } from '../../src/tls/cipher-suites.ts';
import { createRecordOpener, createRecordSealer } from '../../src/tls/record/protection.ts';

for (const suite of cipherSuites.filter(({ authentication }) => authentication === 'ecdsa')) {
  for (const provider of ['native', 'node'] as const) {
    for (const [memory, slabs] of [
      ['pooled', pooledSlab],
      ['own', ownSlab],
    ] as const) {
      describe(`RecordWriter (${suite.aead}, ${provider}, ${memory} memory)`, () => {
        const keys = {
          cipherSuite: suite,
          key: new Uint8Array(suite.keyLength).fill(1),
          fixedNonce: new Uint8Array(suite.fixedNonceLength).fill(2),
          sequenceNumber: 1n,
          provider,
        };
        const setUp = (maxRecords = 1e6) => ({
          writer: new RecordWriter({ sealer: createRecordSealer(keys), slabs, maxRecords }),
          reader: new RecordReader({
            opener: createRecordOpener(keys),
            role: 'client',
            renegotiationIsFatal: false,
            maxRecords: 1e6,
          }),
        });

        const drain = (writer: RecordWriter): Buffer[] => {
          const written: Buffer[] = [];
          for (;;) {
            const slab = writer.next();
            if (slab === undefined) return written;
            written.push(Buffer.from(slab.bytes));
            slab.release();
          }
        };

        const cases: { name: string; chunks: number[]; records: number; writes: number }[] = [
          { name: 'one byte', chunks: [1], records: 1, writes: 1 },
          {
            name: 'many small chunks',
            chunks: Array.from({ length: 100 }, () => 50),
            records: 1,
            writes: 1,
          },
          { name: 'a full record', chunks: [16384], records: 1, writes: 1 },
          { name: 'a byte more than a full record', chunks: [16385], records: 2, writes: 1 },
          {
            name: 'chunks across the border of records',
            chunks: [10000, 10000, 10000],
            records: 2,
            writes: 1,
          },
          { name: 'small, large, small', chunks: [3, 50000, 4], records: 4, writes: 1 },
          { name: 'a quarter megabyte', chunks: [262144], records: 16, writes: 4 },
          { name: 'empty chunks', chunks: [0, 5, 0], records: 1, writes: 1 },
          { name: 'nothing', chunks: [0], records: 0, writes: 0 },
        ];
        for (const { name, chunks, records, writes } of cases) {
          it(`puts ${name} into ${String(records)} records and ${String(writes)} writes`, () => {
            const { writer, reader } = setUp();
            let counter = 0;
            const data = chunks.map((length) =>
              Buffer.from(Uint8Array.from({ length }, () => (counter += 7) & 0xff)),
            );
            for (const chunk of data) writer.push(chunk);
            const written = drain(writer);
            expect(written).to.have.length(writes);
            const { plaintexts, end } = reader.receive(Buffer.concat(written));
            expect(end).to.equal(undefined);
            expect(plaintexts).to.have.length(records);
            expect(Buffer.concat(plaintexts).equals(Buffer.concat(data))).to.equal(true);
            expect(writer.queuedBytes).to.equal(0);
          });
        }

        it('refuses to write more records than one key is good for', () => {
          const { writer } = setUp(2);
          writer.push(new Uint8Array(40000));
          expect(() => writer.next())
            .to.throw()
            .with.property('code', 'ERR_OFFLOAD_KEY_EXHAUSTED');
        });

        it('writes alerts the other side understands', () => {
          const { writer, reader } = setUp();
          expect(reader.receive(writer.alert('warning', 'close_notify')).end?.type).to.equal(
            'close_notify',
          );
        });
      });
    }
  }
}
