// Every fault of gates and pages. In a file of its own: each file has its time.

import { testHostileNetworkIn } from "../hostile_browser.ts";

testHostileNetworkIn("Chromium", ({ phase }) => phase === "gates" || phase === "page");
