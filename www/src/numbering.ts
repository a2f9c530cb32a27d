/** Numbers things in the order in which they come. */
export class Numbering<Thing> {
  readonly list: Thing[] = [];
  readonly #numbers = new Map<Thing, number>();

  readonly numberOf = (thing: Thing): number => {
    const known = this.#numbers.get(thing);
    if (known !== undefined) return known;
    this.#numbers.set(thing, this.list.length);
    return this.list.push(thing) - 1;
  };
}
