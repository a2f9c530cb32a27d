// A flan-t5-small of random weights as a GGUF file: for what depends on its size and not on what it says.

const d_model = 512;
const d_kv = 64;
const heads = 6;
const d_ff = 1024;
const blocks = 8;
const vocabulary = 32_128;
const buckets = 32;

/** Types of GGUF's values and tensors. */
const types = { u32: 4, f32: 6, string: 8, list: 9, Q8_0: 8, F32: 0 };
const alignment = 32;

interface TensorPlan {
  name: string;
  /** Innermost first. */
  dimensions: number[];
  type: number;
  bytes: number;
}

/** Q8_0, with a head of its own and a tokenizer of made-up pieces: 78 MiB. */
export function randomFlanT5Small(): Uint8Array<ArrayBuffer> {
  const tensors = plan();
  const header = Buffer.concat([...keys(), ...tensors.map((tensor) => tensor.head)]);
  const counted = Buffer.concat([
    Buffer.from("GGUF"),
    u32(3),
    u64(tensors.length),
    u64(keys().length),
    header,
  ]);
  const start = padded(counted.length);
  const file = new Uint8Array(start + tensors.reduce((sum, { bytes }) => sum + padded(bytes), 0));
  file.set(counted);
  let at = start;
  for (const { type, bytes } of tensors) {
    (type === types.F32 ? fillWithOnes : fillWithBlocks)(file.subarray(at, at + bytes));
    at += padded(bytes);
  }
  return file;
}

function plan(): (TensorPlan & { head: Buffer })[] {
  const inner = heads * d_kv;
  const plans: TensorPlan[] = [];
  const floats = (name: string, ...dimensions: number[]) =>
    plans.push({ name: `${name}.weight`, dimensions, type: types.F32, bytes: 4 * product(dimensions) });
  const matrix = (name: string, d_out: number, d_in: number) =>
    plans.push({
      name: `${name}.weight`,
      dimensions: [d_in, d_out],
      type: types.Q8_0,
      bytes: ((d_in * d_out) / 32) * 34,
    });
  const attention = (place: string) => {
    floats(`${place}_norm`, d_model);
    for (const part of ["q", "k", "v"]) matrix(`${place}_${part}`, inner, d_model);
    matrix(`${place}_o`, d_model, inner);
  };
  matrix("token_embd", vocabulary, d_model);
  for (const stack of ["enc", "dec"]) {
    for (let block = 0; block < blocks; block++) {
      const place = `${stack}.blk.${block}`;
      attention(`${place}.attn`);
      if (block === 0) floats(`${place}.attn_rel_b`, heads, buckets);
      if (stack === "dec") attention(`${place}.cross_attn`);
      floats(`${place}.ffn_norm`, d_model);
      for (const part of ["gate", "up"]) matrix(`${place}.ffn_${part}`, d_ff, d_model);
      matrix(`${place}.ffn_down`, d_model, d_ff);
    }
    floats(`${stack}.output_norm`, d_model);
  }
  matrix("output", vocabulary, d_model);
  let offset = 0;
  return plans.map((tensor) => {
    const { name, dimensions, type, bytes } = tensor;
    const head = [string(name), u32(dimensions.length), ...dimensions.map(u64), u32(type), u64(offset)];
    offset += padded(bytes);
    return { ...tensor, head: Buffer.concat(head) };
  });
}

function keys(): Buffer[] {
  const number = (key: string, value: number) => Buffer.concat([string(key), u32(types.u32), u32(value)]);
  const list = (key: string, type: number, values: Buffer[]) =>
    Buffer.concat([string(key), u32(types.list), u32(type), u64(values.length), ...values]);
  const text = (key: string, value: string) => Buffer.concat([string(key), u32(types.string), string(value)]);
  const pieces = Array.from({ length: vocabulary }, (_, id) => pieceOf(id));
  // 3 is a control piece, 2 the unknown one, 1 a normal one.
  const kinds = pieces.map((_, id) => u32([3, 3, 2][id] ?? 1));
  return [
    text("general.architecture", "t5"),
    number("t5.embedding_length", d_model),
    number("t5.feed_forward_length", d_ff),
    number("t5.block_count", blocks),
    number("t5.attention.head_count", heads),
    number("t5.attention.key_length", d_kv),
    number("t5.attention.relative_buckets_count", buckets),
    Buffer.concat([string("t5.attention.layer_norm_rms_epsilon"), u32(types.f32), f32(1e-6)]),
    number("t5.decoder_start_token_id", 0),
    text("tokenizer.ggml.model", "t5"),
    list("tokenizer.ggml.tokens", types.string, pieces.map(string)),
    list(
      "tokenizer.ggml.scores",
      types.f32,
      pieces.map((_, id) => f32(-id / 1000)),
    ),
    list("tokenizer.ggml.token_type", 5, kinds),
    number("tokenizer.ggml.unknown_token_id", 2),
    number("tokenizer.ggml.eos_token_id", 1),
    number("tokenizer.ggml.padding_token_id", 0),
  ];
}

/** Of some seven letters, as real ones are. */
function pieceOf(id: number): string {
  return ["<pad>", "</s>", "<unk>"][id] ?? `▁${(id * 7919).toString(26)}`;
}

function fillWithOnes(place: Uint8Array): void {
  new Float32Array(place.buffer, place.byteOffset, place.length / 4).fill(1);
}

/** Blocks of Q8_0 with a small scale. */
function fillWithBlocks(place: Uint8Array): void {
  const block = Uint8Array.from({ length: 34 }, (_, index) => [0x00, 0x14][index] ?? (index * 89) % 256);
  place.set(block.subarray(0, Math.min(34, place.length)));
  for (let filled = 34; filled < place.length; filled *= 2) place.copyWithin(filled, 0, filled);
}

function string(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([u64(bytes.length), bytes]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function f32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function padded(bytes: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}

function product(numbers: number[]): number {
  return numbers.reduce((left, right) => left * right, 1);
}
