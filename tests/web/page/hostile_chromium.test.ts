// Every fault in every phase.

import { testHostileNetworkIn } from "../hostile_browser.ts";

testHostileNetworkIn("Chromium", () => true);
