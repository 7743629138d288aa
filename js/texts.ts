// The texts of a result: one string, or pieces of one if they are many and short (text_pieces() of napi/result.c). Each text
// is cut from where the one before ended, and may stand across the end of a piece.

export type Texts = string | readonly string[];

export class Cut {
  /** The current piece, and where the next text begins in it. */
  text: string;
  p = 0;
  readonly #pieces: readonly string[];
  #next = 0;

  constructor(texts: Texts) {
    if (typeof texts === "string") {
      this.#pieces = [];
      this.text = texts;
    } else {
      this.#pieces = texts;
      this.text = texts[this.#next++]!;
    }
  }

  /** The next text, of n units. */
  take(n: number): string {
    const from = this.p;
    this.p += n;
    return this.p <= this.text.length ? this.text.substring(from, this.p) : this.across(from, this.p);
  }

  /** The text from p on of the current piece up to e, where the piece has ended before. */
  across(p: number, e: number): string {
    let text = "";
    while (e > this.text.length) {
      text += this.text.substring(p);
      e -= this.text.length;
      p = 0;
      this.text = this.#pieces[this.#next++]!;
    }
    this.p = e;
    return text + this.text.substring(0, e);
  }
}
