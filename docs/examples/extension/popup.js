import { Gander } from "./gander/index.js";
import { MODEL } from "./model.js";

const form = document.querySelector("form");
const { line, send } = form.elements;
const output = document.querySelector("output");

try {
  // Fetched once, then kept in the extension's own storage: later popups open without a network.
  const model = await Gander.load({
    base: `${MODEL}base.gguf`,
    experts: `${MODEL}catalog.json`,
    wasmUrl: "gander/gander_bg.wasm",
    onProgress: ({ file, loaded, total }) => {
      output.textContent = total ? `${file}: ${Math.round((100 * loaded) / total)} %` : file;
    },
  });
  output.textContent = "";
  send.disabled = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    output.textContent = "";
    try {
      for await (const piece of model.generate(line.value)) output.append(piece.text);
    } catch (error) {
      output.textContent = error.message;
    }
  });
} catch (error) {
  output.textContent = error.message;
}
