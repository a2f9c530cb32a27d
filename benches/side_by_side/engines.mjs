// On the page: loads an engine, and has it answer. Both get the same token ids and give as many tokens as asked for, so that
// neither's tokenizer nor end token counts.

const models = new Map();

/** Loads a subject, and returns how long that took, in milliseconds. */
globalThis.load = async (subject, device, threads) => {
  const start = performance.now();
  const load = subject.engine === "gander" ? loadGander : loadPeer;
  models.set(subject.name, await load(subject, device, threads));
  return performance.now() - start;
};

/** When each token came, in milliseconds since the question. */
globalThis.answer = async (subject, tokens, newTokens) => {
  const ids = Array.from({ length: tokens }, (_, index) => 100 + 37 * index);
  return models.get(subject.name)(ids, newTokens);
};

globalThis.adapter = async () => {
  const adapter = await navigator.gpu.requestAdapter();
  const { vendor, architecture, description } = adapter.info;
  return [vendor, architecture, description].filter(Boolean).join(" ");
};

async function loadGander({ catalog }, device, threads) {
  const { Gander } = await import("/dist/index.js");
  // Experts stay once they have come.
  const experts = catalog ? { experts: catalog, adapterPoolBytes: 3 * 2 ** 30 } : {};
  const model = await Gander.load({ base: "base.gguf", device, threads, ...experts });
  if (device === "cpu" && model.device.threads !== threads) {
    throw new Error(
      `gander has ${model.device.threads} threads (${model.device.reason}); expected ${threads}`,
    );
  }
  return async (ids, maxNewTokens) => {
    const start = performance.now();
    const times = [];
    for await (const _ of model.generate(ids, { maxNewTokens })) times.push(performance.now() - start);
    return times;
  };
}

async function loadPeer({ type }, device, threads) {
  const { AutoModelForSeq2SeqLM, Tensor, env } = await import(
    "/npm/@huggingface/transformers/dist/transformers.web.min.js"
  );
  env.allowLocalModels = true;
  env.allowRemoteModels = false;
  env.localModelPath = "/";
  env.backends.onnx.wasm.wasmPaths = "/npm/onnxruntime-web/dist/";
  env.backends.onnx.wasm.numThreads = threads;
  const options = { device: device === "cpu" ? "wasm" : device, dtype: type };
  const model = await AutoModelForSeq2SeqLM.from_pretrained("peer", options);
  return async (ids, count) => {
    const input = new Tensor("int64", BigInt64Array.from(ids, BigInt), [1, ids.length]);
    const mask = new Tensor("int64", new BigInt64Array(ids.length).fill(1n), [1, ids.length]);
    const start = performance.now();
    const times = [];
    // It is given the decoder's start token first.
    const streamer = { put: () => times.push(performance.now() - start), end() {} };
    const options = { max_new_tokens: count, min_new_tokens: count, do_sample: false, streamer };
    await model.generate({ inputs: input, attention_mask: mask, ...options });
    return times.slice(1);
  };
}
