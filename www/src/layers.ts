// What the names of a T5's linear layers say, as Hugging Face writes them.

/** Where in the model a layer is. */
export interface Layer {
  stack: "encoder" | "decoder" | null;
  block: number | null;
  /** `self q`, `cross k`, `feed forward wi_0`; a name of another form stays as it is. */
  name: string;
}

const parts: Record<string, string> = {
  SelfAttention: "self",
  EncDecAttention: "cross",
  DenseReluDense: "feed forward",
};

/** `decoder.block.2.layer.1.EncDecAttention.k` is block 2 of the decoder, `cross k`. */
export function layerOf(module: string): Layer {
  const match = /^(encoder|decoder)\.block\.(\d+)\.layer\.\d+\.(\w+)\.(\w+)$/.exec(module);
  if (!match) return { stack: null, block: null, name: module };
  const [, stack, block, part = "", matrix] = match;
  const known = Object.hasOwn(parts, part) ? parts[part] : part;
  return { stack: stack as "encoder" | "decoder", block: Number(block), name: `${known} ${matrix}` };
}

/** `decoder block 2, cross k` */
export function layerInWords(module: string): string {
  const { stack, block, name } = layerOf(module);
  return stack === null ? name : `${stack} block ${block}, ${name}`;
}

/** Whether a layer's tokens are those of the input: the encoder's, and the keys and values that the decoder makes of them. */
export function readsInput(module: string): boolean {
  return module.startsWith("encoder.") || /\.EncDecAttention\.[kv]$/.test(module);
}
