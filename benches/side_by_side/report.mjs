// The record of a comparison.

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function report({
  own,
  withExperts,
  peers,
  loads,
  answers,
  device,
  threads,
  lengths,
  newTokens,
  rounds,
  peerVersion,
  browser,
  adapter,
  machine,
}) {
  const where = {
    cpu: `- ${browser}; ${threads === 1 ? "one thread" : `${threads} threads`} each`,
    webgpu: `- ${browser}, adapter: ${adapter}. SwiftShader is a CPU that plays a GPU: ratios on it say how much work each engine asks for,
  not how fast a GPU is`,
  }[device];
  const again = [
    `npm run ${device === "cpu" ? "bench" : "bench:webgpu"} -- --threads ${threads} --tokens ${lengths.join(",")}`,
    `--new-tokens ${newTokens} --rounds ${rounds} --types ${peers.map(({ type }) => type).join(",")}`,
    ...(withExperts.length > 0 ? [`--experts ${withExperts.map(({ experts }) => experts).join(",")}`] : []),
  ].join(" ");
  const experts =
    withExperts.length > 0
      ? `\n- random experts for every linear layer, k = 2: ${withExperts
          .map(({ experts, rank }) => `${experts} of rank ${rank}`)
          .join(", ")}; all that are wanted are in memory`
      : "";

  const compared = (subject, withExperts, peer) => {
    if (subject === own) return ["", ""];
    return subject.engine === own.engine ? withExperts : peer;
  };
  const loadLine = (subject) => {
    const { milliseconds, bytes } = loads.get(subject.name);
    const mine = loads.get(own.name);
    const ratios = [milliseconds / mine.milliseconds, bytes / mine.bytes].map(times);
    const against = compared(subject, ["", ""], ratios);
    return cells(subject.name, (milliseconds / 1000).toFixed(2), (bytes / 2 ** 20).toFixed(0), ...against);
  };
  const answerLine = (tokens, subject) => {
    const { firstMilliseconds, tokensPerSecond } = answers.get(`${subject.name} ${tokens}`);
    const mine = answers.get(`${own.name} ${tokens}`);
    const ratios = [firstMilliseconds / mine.firstMilliseconds, mine.tokensPerSecond / tokensPerSecond];
    const against = compared(subject, ratios.map(moreTime), ratios.map(times));
    return cells(tokens, subject.name, firstMilliseconds.toFixed(1), tokensPerSecond.toFixed(1), ...against);
  };
  const subjects = [own, ...withExperts, ...peers];
  return `# gander beside transformers.js ${peerVersion}, both on ${device === "cpu" ? "the CPU" : "WebGPU"}

${where}
- ${machine}
- a random-weight flan-t5-small each: gander Q8_0 (8.5 bits a weight), the peer as named (q8: ONNX Runtime's dynamic quantisation, 8
  bits a weight; q4: MatMulNBits, blocks of 32)${experts}
- ${newTokens} tokens out, greedy; ${rounds} rounds in turn on one page after one that does not count; medians
- loading: from loopback, in a browser of its own; memory: the most that the page's process held above an empty page, the first answer
  included
- again: \`${again}\`

| engine | load s | memory MiB | gander loads sooner by | and with less by |
|---|---|---|---|---|
${subjects.map(loadLine).join("\n")}

| tokens in | engine | first token ms | tokens/s after it | gander's first token is sooner by | its rate is greater by |
|---|---|---|---|---|---|
${lengths.flatMap((tokens) => subjects.map((subject) => answerLine(tokens, subject))).join("\n")}
`;
}

const cells = (...values) => `| ${values.join(" | ")} |`;
const times = (ratio) => `${ratio.toFixed(1)} ×`;
const moreTime = (ratio) => `${ratio < 1 ? "" : "+"}${(100 * (ratio - 1)).toFixed(0)} % time`;
