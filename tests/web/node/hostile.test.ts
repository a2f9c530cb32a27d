import assert from "node:assert/strict";
import { test } from "node:test";
import { hostileCases } from "../hostile_cases.ts";
import { testHostileNetwork } from "../hostile_node.ts";

testHostileNetwork(false);

test("no fault and no phase is forgotten", () => {
  assert.equal(hostileCases({ isForeign: false, hasIntegrity: true }).length, 29 * 4 * 2);
});
