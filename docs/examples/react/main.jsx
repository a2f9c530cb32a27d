import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Cleaner } from "./cleaner.jsx";

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <Cleaner />
  </StrictMode>,
);
