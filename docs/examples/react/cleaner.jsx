import "gander/routing-element";
import { useRef, useState } from "react";
import { useGander } from "./use_gander.js";

export function Cleaner() {
  const { model, error } = useGander("/ocean/base.gguf", "/ocean/catalog.json");
  const [text, setText] = useState("");
  const [routing, setRouting] = useState(null);
  const running = useRef(new AbortController());

  async function answer(event) {
    event.preventDefault();
    const line = new FormData(event.target).get("line");
    // A new line stops the answer to the last one.
    running.current.abort();
    running.current = new AbortController();
    setText("");
    setRouting(null);
    try {
      const generation = model.generate(line, { trace: true, signal: running.current.signal });
      for await (const piece of generation) setText((text) => text + piece.text);
      setRouting((await generation).routing);
    } catch (error) {
      if (error.code !== "aborted") setText(error.message);
    }
  }

  return (
    <>
      <form onSubmit={answer}>
        <input name="line" aria-label="A line" defaultValue="the invoice of 12-Oct-2025" />
        <button type="submit" disabled={model === null}>
          Clean
        </button>
      </form>
      <output>{error ? error.message : text}</output>
      {/* React 19 sets what an element has as properties. */}
      <gander-routing trace={routing} experts={model?.experts} />
    </>
  );
}
