import * as der from '../../src/pki/der-writer.ts';
import { DerError, DerReader } from '../../src/pki/der.ts';
import type { Mutator } from './mutator.ts';
import type { Random } from './random.ts';

/** Changes one element of a DER value and mends all lengths around it. */
export const derMutator: Mutator = (random, pool) => {
  const tree = parse(random.pick(pool), 0);
  const other = parse(random.pick(pool), 0);
  if (tree === undefined) return random.pick(pool);
  const nodes = flatten(tree);
  const target = random.pick(nodes);
  const donor = other === undefined ? target : random.pick(flatten(other));
  return write(change(tree, target, () => changed(target, donor, random)));
};

interface Node {
  readonly tag: number;
  readonly content: Uint8Array;
  /** Absent: primitive, or not DER inside. */
  readonly children: readonly Node[] | undefined;
}

function changed(target: Node, donor: Node, random: Random): readonly Node[] {
  const { tag, content, children } = target;
  switch (random.below(9)) {
    case 0:
      return [];
    case 1:
      return [target, target];
    case 2:
      return [donor];
    case 3:
      return [target, donor];
    case 4:
      return [
        { ...target, tag: random.pick([0x01, 0x02, 0x04, 0x06, 0x0c, 0x30, 0xa0, 0x80, 0x17]) },
      ];
    case 5:
      return [{ tag, content: random.bytes(random.below(12)), children: undefined }];
    case 6: {
      const bytes = Uint8Array.from(content);
      const at = random.below(bytes.length);
      if (bytes.length > 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
      return [{ tag, content: bytes, children: undefined }];
    }
    case 7: {
      if (children === undefined) return [{ tag, content: noBytes, children: undefined }];
      const from = random.below(children.length);
      const moved = children[from];
      if (moved === undefined) return [target];
      const rest = children.toSpliced(from, 1);
      return [{ tag, content, children: rest.toSpliced(random.below(rest.length + 1), 0, moved) }];
    }
    default:
      return wrapped(target, random.pick([1, 3, 40, 400]));
  }
}

/** The element inside many of itself. */
function wrapped(target: Node, times: number): readonly Node[] {
  let node = target;
  for (let depth = 0; depth < times; depth++) {
    node = { tag: 0x30, content: noBytes, children: [node] };
  }
  return [node];
}

function change(node: Node, target: Node, by: () => readonly Node[]): readonly Node[] {
  if (node === target) return by();
  if (node.children === undefined) return [node];
  return [{ ...node, children: node.children.flatMap((child) => change(child, target, by)) }];
}

function flatten(node: Node): readonly Node[] {
  return [node, ...(node.children ?? []).flatMap(flatten)];
}

function write(nodes: readonly Node[]): Uint8Array {
  return Buffer.concat(
    nodes.map(({ tag, content, children }) => {
      if (children === undefined) return der.element(tag, content);
      // A BIT STRING that holds DER begins with its number of unused bits.
      return tag === 0x03
        ? der.element(tag, Uint8Array.of(0), write(children))
        : der.element(tag, write(children));
    }),
  );
}

function parse(bytes: Uint8Array, depth: number): Node | undefined {
  const nodes = parseAll(bytes, depth);
  return nodes?.length === 1 ? nodes[0] : undefined;
}

function parseAll(bytes: Uint8Array, depth: number): readonly Node[] | undefined {
  if (depth > 30 || bytes.length === 0) return undefined;
  try {
    const reader = new DerReader(bytes);
    const nodes: Node[] = [];
    while (!reader.done) {
      const { tag, content } = reader.any();
      nodes.push({ tag, content, children: inside(tag, content, depth) });
    }
    return nodes;
  } catch (error) {
    if (error instanceof DerError) return undefined;
    throw error;
  }
}

function inside(tag: number, content: Uint8Array, depth: number): readonly Node[] | undefined {
  if (tag === 0x03) return content[0] === 0 ? parseAll(content.subarray(1), depth + 1) : undefined;
  if (tag !== 0x04 && (tag & 0x20) === 0) return undefined;
  if (content.length === 0) return tag === 0x04 ? undefined : [];
  return parseAll(content, depth + 1);
}

const noBytes = new Uint8Array(0);
