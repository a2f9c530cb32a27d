import { Gander } from "gander";

const form = document.querySelector("form");
const { line, send } = form.elements;
const output = document.querySelector("output");

/** Stops the answer that is being written. */
let stop = new AbortController();

try {
  const model = await Gander.load({
    base: "/ocean/base.gguf",
    experts: "/ocean/catalog.json",
    onProgress: ({ file, loaded, total }) => {
      output.textContent = total ? `${file}: ${Math.round((100 * loaded) / total)} %` : file;
    },
  });
  output.textContent = "";
  send.disabled = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    answer(model, line.value);
  });
} catch (error) {
  output.textContent = error.message;
}

/** Writes the answer as it comes. A new line stops the answer to the last one. */
async function answer(model, text) {
  stop.abort();
  stop = new AbortController();
  output.textContent = "";
  try {
    for await (const piece of model.generate(text, { signal: stop.signal })) output.textContent += piece.text;
  } catch (error) {
    if (error.code !== "aborted") output.textContent = error.message;
  }
}
