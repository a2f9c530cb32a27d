// Numbers in the words of people.

const whole = new Intl.NumberFormat("en");

/** 12,345 */
export function count(value: number): string {
  return whole.format(value);
}

/** "1 page", "1,200 pages" */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** Bytes as KB or MB, thousands of them. */
export function size(bytes: number): string {
  return bytes < 1_000_000 ? `${Math.ceil(bytes / 1000)} KB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** "12 s", "3 min 5 s", "2 h 10 min" */
export function duration(seconds: number): string {
  const rounded = Math.ceil(seconds);
  if (rounded < 60) return `${rounded} s`;
  if (rounded < 3600) return `${Math.floor(rounded / 60)} min ${rounded % 60} s`;
  return `${Math.floor(rounded / 3600)} h ${Math.floor((rounded % 3600) / 60)} min`;
}

/** Up to three digits: 0.42, 7.3, 215. */
export function rate(perSecond: number): string {
  if (perSecond >= 10) return count(Math.round(perSecond));
  return perSecond.toFixed(perSecond >= 1 ? 1 : 2);
}
