// Every fault of base and catalogue.

import { testHostileNetworkIn } from "../hostile_browser.ts";

testHostileNetworkIn("Chromium", ({ phase }) => phase === "base" || phase === "catalogue");
