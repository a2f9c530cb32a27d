// What the scripts print.

const bold = process.stdout.isTTY ? (text) => `\x1b[1m${text}\x1b[0m` : (text) => text;

export function say(text) {
  process.stdout.write(`${text}\n`);
}

export function heading(text) {
  say(`\n${bold(`== ${text}`)}`);
}

export function seconds(milliseconds) {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

export function kilobytes(bytes) {
  return `${(bytes / 1000).toFixed(0)} KB`;
}
