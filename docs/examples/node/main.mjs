// node main.mjs https://cdn.example/base.gguf https://cdn.example/catalog.json "the invoice of 12-Oct-2025"

import { Gander } from "gander";

const [base, experts, line] = process.argv.slice(2);
const model = await Gander.load({ base, experts });
try {
  for await (const piece of model.generate(line)) process.stdout.write(piece.text);
  process.stdout.write("\n");
} finally {
  await model.dispose();
}
