// What the demo shows: headings, tables, and a progress bar where there is a terminal.

const terminal = process.stdout.isTTY === true;
const bold = (text: string) => (terminal ? `\x1b[1m${text}\x1b[0m` : text);

export function heading(text: string): void {
  console.log(`\n${bold(text)}`);
}

export function line(text: string): void {
  console.log(text === "" ? "" : `  ${text}`);
}

export const count = (n: number) => n.toLocaleString("en");
export const bytes = (n: number) => (n < 1e6 ? `${(n / 1024).toFixed(0)} KiB` : `${(n / 1024 / 1024).toFixed(1)} MiB`);
export const milliseconds = (n: number) => `${n < 1 ? n.toFixed(3) : n.toFixed(1)} ms`;

/** Prints rows below a header; columns whose names begin with ">" are aligned to the right. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): void {
  const right = header.map((name) => name.startsWith(">"));
  const all = [header.map((name) => name.replace(/^>/, "")), ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  all.forEach((row, i) => {
    const cells = row.map((cell, column) =>
      right[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
    );
    line(cells.join("   ").trimEnd());
    if (i === 0) line(widths.map((width) => "-".repeat(width)).join("   "));
  });
}

/** A bar that grows to total: redrawn in place on a terminal, not at all elsewhere. */
export class Progress {
  #done = 0;
  #drawn = "";
  constructor(
    private readonly total: number,
    private readonly unit: string,
  ) {}

  add(n: number): void {
    this.#done += n;
    if (!terminal) return;
    const width = 40;
    const filled = Math.floor((this.#done / this.total) * width);
    const bar = `[${"#".repeat(filled)}${" ".repeat(width - filled)}] ${count(this.#done)} ${this.unit}`;
    if (bar === this.#drawn) return;
    this.#drawn = bar;
    process.stdout.write(`\r  ${bar}`);
  }

  end(): void {
    if (terminal) process.stdout.write("\r\x1b[K");
  }
}
