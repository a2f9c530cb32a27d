import { Gander } from "gander";

const form = document.querySelector("form");
const { line, send } = form.elements;
const output = document.querySelector("output");

const serviceWorker = navigator.serviceWorker.register("./service_worker.js");

try {
  const model = await Gander.load({ base: "./ocean/base.gguf", experts: "./ocean/catalog.json" });
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
  await keepForOffline(model);
} catch (error) {
  output.textContent = error.message;
}

/** The page and the package are the service worker's to keep, the model's files are gander's. */
async function keepForOffline(model) {
  await serviceWorker;
  await navigator.serviceWorker.ready;
  // An expert that no line has asked for yet may be asked for where there is no network.
  if (navigator.onLine) await model.cache.prefetch(model.experts.map(({ id }) => id));
  // Else a full disk may cost the copy.
  await navigator.storage.persist();
  document.querySelector("#offline").textContent = "This page works without a network.";
}
