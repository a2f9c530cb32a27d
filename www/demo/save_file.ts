// Hands a file to the visitor.

export function saveFile(name: string, type: string, pieces: string[]): void {
  const url = URL.createObjectURL(new Blob(pieces, { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser has opened it by then; the memory is the file's size.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
