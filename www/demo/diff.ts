// What an answer changed in a line: the longest common subsequence of their words, numbers and signs.

export interface Part {
  kind: "same" | "removed" | "added";
  text: string;
}

/** More cells than this are not compared: two lines of some five hundred words each. */
const MOST_CELLS = 400_000;

/**
 * The parts of both texts in order. Without the added ones they make up `before`, without the removed ones `after`. A
 * removed part is followed by what was added in its place.
 */
export function difference(before: string, after: string): Part[] {
  const old = words(before);
  const fresh = words(after);
  let start = 0;
  while (start < old.length && start < fresh.length && old[start] === fresh[start]) start++;
  let end = 0;
  const most = Math.min(old.length, fresh.length) - start;
  while (end < most && old[old.length - 1 - end] === fresh[fresh.length - 1 - end]) end++;
  const middle = compared(old.slice(start, old.length - end), fresh.slice(start, fresh.length - end));
  const same = (texts: string[]): Part[] => texts.map((text) => ({ kind: "same", text }));
  return joined([...same(old.slice(0, start)), ...middle, ...same(old.slice(old.length - end))]);
}

function words(text: string): string[] {
  return text.match(/\p{L}[\p{L}\p{M}]*|\p{N}+|\s+|./gsu) ?? [];
}

function compared(old: string[], fresh: string[]): Part[] {
  const width = fresh.length + 1;
  const removed = (text: string): Part => ({ kind: "removed", text });
  const added = (text: string): Part => ({ kind: "added", text });
  if (old.length * fresh.length > MOST_CELLS) return [...old.map(removed), ...fresh.map(added)];
  // common[i * width + j]: the most words that the ends from i and from j have in common.
  const common = new Uint16Array((old.length + 1) * width);
  const at = (i: number, j: number) => common[i * width + j] ?? 0;
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = fresh.length - 1; j >= 0; j--) {
      common[i * width + j] =
        old[i] === fresh[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const parts: Part[] = [];
  let i = 0;
  let j = 0;
  while (i < old.length || j < fresh.length) {
    const [before, after] = [old[i] ?? "", fresh[j] ?? ""];
    if (i < old.length && j < fresh.length && before === after) {
      parts.push({ kind: "same", text: before });
      i++;
      j++;
    } else if (j === fresh.length || (i < old.length && at(i + 1, j) >= at(i, j + 1))) {
      parts.push(removed(before));
      i++;
    } else {
      parts.push(added(after));
      j++;
    }
  }
  return parts;
}

/** Joins neighbours of a kind. A space or a sign between two changes is counted as changed: that reads better. */
function joined(parts: Part[]): Part[] {
  const runs: { same: string; removed: string; added: string }[] = [];
  for (const { kind, text } of parts) {
    const last = runs.at(-1);
    const wasSame = last !== undefined && last.removed === "" && last.added === "";
    if (last && (kind === "same") === wasSame) last[kind] += text;
    else runs.push({ same: "", removed: "", added: "", [kind]: text });
  }
  for (let index = 1; index + 1 < runs.length; ) {
    const [before, run, after] = [runs[index - 1], runs[index], runs[index + 1]];
    if (before && run && after && /^(\s+|[^\p{L}\p{N}])$/u.test(run.same)) {
      before.removed += run.same + after.removed;
      before.added += run.same + after.added;
      runs.splice(index, 2);
    } else index++;
  }
  return runs.flatMap(({ same, removed, added }) => {
    const all: Part[] = [
      { kind: "same", text: same },
      { kind: "removed", text: removed },
      { kind: "added", text: added },
    ];
    return all.filter(({ text }) => text !== "");
  });
}
