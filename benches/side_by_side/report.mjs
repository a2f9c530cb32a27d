// The record of a comparison.

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function report({
  rows,
  device,
  threads,
  types,
  tokens,
  newTokens,
  rounds,
  peerVersion,
  browser,
  adapter,
  machine,
}) {
  const [own, ...peers] = rows;
  const line = ({ subject, loadMilliseconds, firstMilliseconds, tokensPerSecond }) =>
    `| ${subject} | ${(loadMilliseconds / 1000).toFixed(1)} | ${firstMilliseconds.toFixed(0)} | ${tokensPerSecond.toFixed(2)} |`;
  const ratio = (peer) =>
    `| ${peer.subject} | ${(peer.firstMilliseconds / own.firstMilliseconds).toFixed(1)} × sooner | ` +
    `${(own.tokensPerSecond / peer.tokensPerSecond).toFixed(1)} × the tokens per second |`;
  const where = {
    cpu: `- ${browser}; ${threads === 1 ? "one thread" : `${threads} threads`} each`,
    webgpu: `- ${browser}, adapter: ${adapter}. SwiftShader is a CPU that plays a GPU: ratios on it say how much work each engine asks for,
  not how fast a GPU is`,
  }[device];
  const name = device === "cpu" ? "bench" : "bench:webgpu";
  return `# gander beside transformers.js ${peerVersion}, both on ${device === "cpu" ? "the CPU" : "WebGPU"}

${where}
- ${machine}
- a random-weight flan-t5-small each: gander Q8_0 (8.5 bits a weight), the peer as named (q8: ONNX Runtime's dynamic quantisation, 8
  bits a weight; q4: MatMulNBits, blocks of 32)
- ${tokens} tokens in, ${newTokens} out, greedy; ${rounds} rounds in turn on one page after one that does not count; medians
- again: \`npm run ${name} -- --threads ${threads} --tokens ${tokens} --new-tokens ${newTokens} --rounds ${rounds} --types ${types.join(",")}\`

| engine | load s | first token ms | tokens/s after it |
|---|---|---|---|
${rows.map(line).join("\n")}

| gander against | first token | decoding |
|---|---|---|
${peers.map(ratio).join("\n")}
`;
}
