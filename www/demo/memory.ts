// How much memory the page takes, its workers included, where the browser tells.

import { size } from "./units.ts";

/** Chromium's, for pages that are isolated from others. Not in TypeScript's library. */
interface MeasuringPerformance {
  measureUserAgentSpecificMemory?: () => Promise<{ bytes: number }>;
}

/** Chromium answers at its next garbage collection, which may be half a minute away. */
export async function memoryInUse(): Promise<string> {
  const measure = (performance as MeasuringPerformance).measureUserAgentSpecificMemory;
  if (!measure || !globalThis.crossOriginIsolated) return "the browser does not say";
  try {
    const { bytes } = await measure.call(performance);
    return `${size(bytes)}, with the model`;
  } catch {
    return "the browser does not say";
  }
}
