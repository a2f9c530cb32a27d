// Answers that came whole and are wrong.

import type { GanderError } from "./errors.ts";
import { TransientFailure } from "./transfer.ts";

/** Wrong bytes are asked for once more, past all caches; a server that insists is believed to be wrong. */
const MOST_WRONG_ANSWERS = 2;

/** Of one exchange. */
export class WrongAnswers {
  #count = 0;

  /** One more: the failure as it is to be thrown. */
  with(failure: GanderError): GanderError | TransientFailure {
    this.#count++;
    return this.#count < MOST_WRONG_ANSWERS ? new TransientFailure(failure) : failure;
  }
}
