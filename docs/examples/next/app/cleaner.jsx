"use client";

import { Gander } from "gander";
import { useEffect, useState } from "react";

export function Cleaner() {
  const [model, setModel] = useState(null);
  const [output, setOutput] = useState("");

  // Effects run in the browser alone, never while the server renders. React may run one twice: each run ends its own model.
  useEffect(() => {
    const leaving = new AbortController();
    let loaded;
    Gander.load({ base: "/ocean/base.gguf", experts: "/ocean/catalog.json", signal: leaving.signal })
      .then((model) => {
        loaded = model;
        setModel(model);
      })
      .catch((error) => error.code !== "aborted" && setOutput(error.message));
    return () => {
      leaving.abort();
      loaded?.dispose();
    };
  }, []);

  async function answer(event) {
    event.preventDefault();
    setOutput("");
    try {
      const line = new FormData(event.target).get("line");
      for await (const piece of model.generate(line)) setOutput((output) => output + piece.text);
    } catch (error) {
      setOutput(error.message);
    }
  }

  return (
    <form onSubmit={answer}>
      <input name="line" aria-label="A line" defaultValue="the invoice of 12-Oct-2025" />
      <button type="submit" disabled={model === null}>
        Clean
      </button>
      <output>{output}</output>
    </form>
  );
}
