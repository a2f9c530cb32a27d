// Every fault of the pages, and what passes of base and gates.

import { testHostileNetworkIn } from "../hostile_browser.ts";

testHostileNetworkIn("Firefox", ({ phase, isOnce }) => phase === "page" || (phase !== "catalogue" && isOnce));
