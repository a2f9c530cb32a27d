// Keeps judgements in this browser, each with the whole routing of its answer, packed and apart: a dashboard of thousands
// does not read those.

import type { RoutedChoice } from "gander";
import { transact } from "./database.ts";
import { exportLine, type Judgement, targetOf } from "./judgements.ts";

/** Keeps a judgement, or changes the one with its id; answers the id. */
export async function keepJudgement(judgement: Judgement, routing: RoutedChoice[]): Promise<number> {
  const packed = await pack(routing);
  const id = await transact(["judgements", "routings"], "readwrite", (storeOf) => {
    const put = storeOf("judgements").put(judgement);
    put.onsuccess = () => storeOf("routings").put(packed, put.result);
    return put;
  });
  return Number(id);
}

/** All of them, oldest first. */
export function allJudgements(): Promise<Judgement[]> {
  return transact(["judgements"], "readonly", (storeOf) => storeOf("judgements").getAll());
}

export function removeJudgement(id: number): Promise<undefined> {
  return transact(["judgements", "routings"], "readwrite", (storeOf) => {
    storeOf("routings").delete(id);
    return storeOf("judgements").delete(id);
  });
}

export function removeAllJudgements(): Promise<undefined> {
  return transact(["judgements", "routings"], "readwrite", (storeOf) => {
    storeOf("routings").clear();
    return storeOf("judgements").clear();
  });
}

/** JSON Lines, in pieces. `withTargetOnly` leaves out judgements that name no right answer. */
export async function exportJudgements(withTargetOnly: boolean): Promise<string[]> {
  const lines: string[] = [];
  for (const judgement of await allJudgements()) {
    if (withTargetOnly && targetOf(judgement) === undefined) continue;
    const packed = await transact<Blob | undefined>(["routings"], "readonly", (storeOf) =>
      storeOf("routings").get(judgement.id ?? 0),
    );
    lines.push(exportLine(judgement, packed ? await unpack(packed) : []));
  }
  return lines;
}

/** A thousand choices with their layers' names are 150 KB of JSON and a few KB packed. */
function pack(routing: RoutedChoice[]): Promise<Blob> {
  const json = new Blob([JSON.stringify(routing)]);
  return new Response(json.stream().pipeThrough(new CompressionStream("gzip"))).blob();
}

function unpack(packed: Blob): Promise<RoutedChoice[]> {
  return new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).json();
}
