// A file of text, in whichever of the usual encodings it is.

import { BYTE_ORDER_MARK } from "./csv.ts";

/** Larger ones would take the page's memory many times over. */
export const LIMIT_BYTES = 64 * 2 ** 20;

export interface TextFile {
  text: string;
  /** For people; "UTF-8" is how it is written again. */
  encoding: "UTF-8" | "UTF-16" | "Windows-1252";
  hasByteOrderMark: boolean;
}

/** UTF-16 with a byte order mark, else UTF-8, else what is left: Windows-1252, in which every byte is a sign. */
export function decodeText(bytes: Uint8Array): TextFile {
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return { ...decoded("utf-16le", bytes), encoding: "UTF-16" };
  if (first === 0xfe && second === 0xff) return { ...decoded("utf-16be", bytes), encoding: "UTF-16" };
  try {
    return { ...decoded("utf-8", bytes), encoding: "UTF-8" };
  } catch {
    return { ...decoded("windows-1252", bytes), encoding: "Windows-1252" };
  }
}

function decoded(encoding: string, bytes: Uint8Array): Omit<TextFile, "encoding"> {
  const text = new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(bytes);
  const hasByteOrderMark = text.startsWith(BYTE_ORDER_MARK);
  return { text: hasByteOrderMark ? text.slice(1) : text, hasByteOrderMark };
}
