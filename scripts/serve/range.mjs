// The Range header (RFC 9110, section 14), for one range. Several are answered with the whole file, as is allowed.

/**
 * @param {string | undefined} header
 * @param {number} bytes the file's size
 * @returns {{start: number, end: number} | "unsatisfiable" | undefined} undefined: send the whole file
 */
export function parseRange(header, bytes) {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
  if (!match || (match[1] === "" && match[2] === "")) return undefined;
  if (match[1] === "") {
    const suffix = Number(match[2]);
    return suffix === 0 || bytes === 0
      ? "unsatisfiable"
      : { start: Math.max(0, bytes - suffix), end: bytes - 1 };
  }
  const start = Number(match[1]);
  const end = match[2] === "" ? bytes - 1 : Math.min(Number(match[2]), bytes - 1);
  if (match[2] !== "" && Number(match[2]) < start) return undefined;
  return start >= bytes ? "unsatisfiable" : { start, end };
}
