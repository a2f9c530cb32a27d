// What a user's code looks like to the compiler. Never run: compiled against the packed declarations.

import { type Answer, Gander, GanderError, type GanderErrorCode, type Generation, type Piece } from "gander";

export async function clean(lines: string[], out: HTMLElement): Promise<Answer[]> {
  await using model = await Gander.load({
    base: new URL("https://cdn.example/base.gguf"),
    experts: "https://cdn.example/catalog.json",
    device: "auto",
    onProgress: ({ phase, file, loaded, total }) => {
      out.textContent = `${phase} ${file}: ${loaded} of ${total ?? "?"} bytes`;
    },
    signal: AbortSignal.timeout(60_000),
  });
  const ids: string[] = model.experts.map((expert) => expert.id);
  const answers: Answer[] = [];
  for (const line of lines) {
    const generation: Generation = model.generate(line, { maxNewTokens: 64, include: ids, trace: true });
    for await (const piece of generation) show(piece);
    const answer = await generation;
    const milliseconds: number = answer.stats.milliseconds;
    if (milliseconds > 0) answers.push(answer);
  }
  const { best } = await model.score("positive or negative?", ["positive", "negative"]);
  out.textContent += String(best.toFixed());
  return answers;

  function show(piece: Piece): void {
    out.textContent += piece.text;
    for (const { module, experts, weights } of piece.routing ?? [])
      console.log(module, experts[0], weights[0]);
  }
}

export function codeOf(error: unknown): GanderErrorCode | undefined {
  return error instanceof GanderError ? error.code : undefined;
}

export function refused(model: Gander): void {
  // @ts-expect-error a base is needed
  Gander.load({});
  // @ts-expect-error there is no such device
  Gander.load({ base: "", device: "gpu" });
  // @ts-expect-error there is no such option
  model.generate("", { maxTokens: 5 });
  // @ts-expect-error a model is loaded, not made
  new Gander();
  // @ts-expect-error nobody else sets it
  model.base = null;
  // @ts-expect-error an answer's text may be null
  const text: Promise<string> = model.generate("").then((answer) => answer.text);
  void text;
}
