// In a file of its own: each file has its time.

import { testHostileNetwork } from "../hostile_node.ts";

testHostileNetwork(true);
