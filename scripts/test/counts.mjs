// Reads how many tests passed from what the runners print. A run that ends badly is never without a failure, and a
// run that says nothing did not pass.

/** @typedef {{passed: number, failed: number, skipped: number}} Counts */

/** @returns {Counts} */
export function countLibtest(report, status) {
  const lines = report.matchAll(/^test result: .*? (\d+) passed; (\d+) failed; (\d+) ignored;/gm);
  return honest(
    [...lines].map((line) => line.slice(1, 4).map(Number)),
    status,
  );
}

/** @returns {Counts} */
export function countNodeTests(report, status) {
  const number = (name) => Number(new RegExp(`^\\S+ ${name} (\\d+)$`, "m").exec(report)?.[1] ?? Number.NaN);
  const row = [number("pass"), number("fail") + number("cancelled"), number("skipped") + number("todo")];
  return honest(row.some(Number.isNaN) ? [] : [row], status);
}

/** A step that passes or fails as a whole. @returns {Counts} */
export function countStep(status) {
  return status === 0 ? { passed: 1, failed: 0, skipped: 0 } : { passed: 0, failed: 1, skipped: 0 };
}

function honest(rows, status) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const [passed, failed, skipped] of rows) {
    counts.passed += passed;
    counts.failed += failed;
    counts.skipped += skipped;
  }
  const brokeOff = status !== 0 && counts.failed === 0;
  const ranNothing = rows.length === 0;
  if (brokeOff || ranNothing) counts.failed++;
  return counts;
}
