// Which experts may answer: those that neither a person nor the rule has left out.

import type { Expert, GenerateOptions } from "gander";
import { isBelow, type Rule } from "./catalogue_rules.ts";

export class ExpertChoice {
  /** Called after every change. */
  onChange: () => void = () => {};
  #experts: readonly Expert[] = [];
  #switchedOff = new Set<string>();
  #rule: Rule | undefined;

  /** Another catalogue: everything may answer again. */
  reset(experts: readonly Expert[]): void {
    this.#experts = experts;
    this.#switchedOff = new Set();
    this.#rule = undefined;
    this.onChange();
  }

  get rule(): Rule | undefined {
    return this.#rule;
  }

  set rule(rule: Rule | undefined) {
    this.#rule = rule;
    this.onChange();
  }

  switchOn(id: string, isOn: boolean): void {
    if (isOn) this.#switchedOff.delete(id);
    else this.#switchedOff.add(id);
    this.onChange();
  }

  isSwitchedOn(id: string): boolean {
    return !this.#switchedOff.has(id);
  }

  isHidden(expert: Expert): boolean {
    return isBelow(expert, this.#rule);
  }

  /** Ids, in the catalogue's order. */
  get excluded(): string[] {
    return this.#experts
      .filter((expert) => this.isHidden(expert) || !this.isSwitchedOn(expert.id))
      .map(({ id }) => id);
  }

  /** With all experts left out, the base answers alone. */
  options(): Pick<GenerateOptions, "exclude" | "strategy"> {
    const exclude = this.excluded;
    if (exclude.length === 0) return {};
    return exclude.length === this.#experts.length ? { strategy: "none" } : { exclude };
  }
}
