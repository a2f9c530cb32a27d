// <gander-routing>: which expert served which token in which layer, to look at, to touch, and by keyboard.

import { legend, placeDetails, shareTable } from "./elements/details.ts";
import { make } from "./elements/make.ts";
import { MapView } from "./elements/map_view.ts";
import { ExpertPalette } from "./elements/palette.ts";
import { styles } from "./elements/styles.ts";
import { type Place, sharesAt } from "./elements/words.ts";
import { GanderError } from "./errors.ts";
import type { RoutingTable } from "./routing_table.ts";
import { RoutingTrace } from "./trace.ts";
import type { TraceJson } from "./trace_files.ts";

export { badgeElement, paint } from "./elements/details.ts";
export { type Badge, ExpertPalette, type Pattern } from "./elements/palette.ts";

/** `output`: the decoder's layers over the tokens of the answer. `input`: the encoder's over those of the line. */
export type RoutingView = "output" | "input";

/** What `gander-routing-select` carries. */
export interface RoutingSelection {
  view: RoutingView;
  token: number;
  /** Null for all layers together. */
  module: string | null;
  experts: { expert: string; share: number }[];
}

const attributeNames = ["view"];

/** Where there is no document, the class can be imported and does nothing. */
const Base = globalThis.HTMLElement ?? (class {} as typeof HTMLElement);

export class GanderRoutingElement extends Base {
  static readonly observedAttributes = attributeNames;
  readonly #map = new MapView();
  readonly #detail = make("div", "detail");
  readonly #legend = make("ul", "legend");
  readonly #body = make("div", "body", this.#map.element, this.#detail);
  readonly #alone = make("p", "muted", "No expert took part: the base model computed alone.");
  readonly #buttons = { output: make("button", "", "Answer"), input: make("button", "", "Input") };
  readonly #views = make("div", "views", this.#buttons.output, this.#buttons.input);
  readonly #tableBox = make("div", "table");
  readonly #tableDetails: HTMLDetailsElement = make(
    "details",
    "",
    make("summary", "", "Token by token, as a table"),
    this.#tableBox,
  );
  #trace: RoutingTrace | null = null;
  #experts: readonly { id: string; title: string }[] = [];
  #palette = new ExpertPalette([]);

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(styles);
    root.adoptedStyleSheets = [sheet];
    this.#views.setAttribute("role", "group");
    this.#views.setAttribute("aria-label", "Tokens of");
    for (const view of ["output", "input"] as const) {
      this.#buttons[view].type = "button";
      this.#buttons[view].addEventListener("click", () => {
        this.view = view;
        this.#tell("gander-routing-view", view);
      });
    }
    this.#legend.setAttribute("aria-label", "Experts");
    this.#tableBox.tabIndex = 0;
    this.#tableBox.setAttribute("role", "region");
    this.#tableBox.setAttribute("aria-label", "Experts by token");
    this.#tableDetails.addEventListener("toggle", () => this.#fillTable());
    this.#map.onLook = (place) => this.#look(place);
    this.#map.onChoose = (place) => this.#tell("gander-routing-select", this.#selection(place));
    root.append(this.#views, this.#alone, this.#body, this.#legend, this.#tableDetails);
    this.#show();
  }

  connectedCallback(): void {
    // What was set before the element was defined lies in the way of the accessors.
    for (const name of ["trace", "experts"] as const) {
      if (!Object.hasOwn(this, name)) continue;
      const value = this[name];
      delete (this as Partial<this>)[name];
      Object.assign(this, { [name]: value });
    }
    this.#show();
  }

  attributeChangedCallback(): void {
    this.#show();
  }

  /**
   * The routing to show: `answer.routing`, one made of pieces while they come, or the JSON of either. Null shows nothing.
   * @throws GanderError `invalid-file` for JSON that is no trace, `invalid-option` for anything else that is none
   */
  get trace(): RoutingTrace | null {
    return this.#trace;
  }

  set trace(trace: RoutingTrace | TraceJson | null | undefined) {
    this.#trace = trace ? traceOf(trace) : null;
    this.#show();
  }

  /**
   * Titles, and by their order colours and letters: `model.experts`. Without them the experts of the trace are shown by
   * their ids.
   */
  get experts(): readonly { id: string; title: string }[] {
    return this.#experts;
  }

  set experts(experts: readonly { id: string; title: string }[] | null | undefined) {
    this.#experts = experts ?? [];
    this.#show();
  }

  /** The attribute of this name. */
  get view(): RoutingView {
    return this.getAttribute("view") === "input" ? "input" : "output";
  }

  set view(view: RoutingView) {
    this.setAttribute("view", view);
  }

  #table(): RoutingTable | undefined {
    return this.#trace?.[this.view];
  }

  #show(): void {
    const table = this.#table();
    for (const view of ["output", "input"] as const) {
      this.#buttons[view].setAttribute("aria-pressed", String(view === this.view));
    }
    const hasExperts = table !== undefined && table.modules.length > 0 && table.tokens.length > 0;
    this.#views.hidden = !this.#trace;
    this.#alone.hidden = !table || hasExperts;
    for (const part of [this.#body, this.#legend, this.#tableDetails]) part.hidden = !hasExperts;
    if (!table || !hasExperts) return;
    const known = new Set(this.#experts.map(({ id }) => id));
    const unknown = table.experts.filter((id) => !known.has(id)).map((id) => ({ id, title: "" }));
    this.#palette = new ExpertPalette([...this.#experts, ...unknown]);
    this.#map.highlighted = undefined;
    this.#map.show(table, this.#palette);
    this.#look(this.#map.chosen);
    const highlight = (expert: string | undefined) => {
      this.#map.highlighted = expert;
    };
    this.#legend.replaceChildren(...legend(table.shares(), this.#palette, highlight));
    this.#fillTable();
  }

  #look(place: Place): void {
    const table = this.#table();
    if (table) this.#detail.replaceChildren(...placeDetails(table, place, this.#palette));
  }

  /** Only once somebody opens it. */
  #fillTable(): void {
    const table = this.#table();
    this.#tableBox.replaceChildren(
      ...(this.#tableDetails.open && table ? [shareTable(table, this.#palette)] : []),
    );
  }

  #selection(place: Place): RoutingSelection | undefined {
    const table = this.#table();
    if (!table) return undefined;
    const module = place.row === 0 ? null : (table.modules[place.row - 1] ?? null);
    return { view: this.view, token: place.token, module, experts: sharesAt(table, place) };
  }

  #tell(name: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }
}

/** Two builds of the class may meet on a page, so what it has counts, not what made it. */
function traceOf(trace: RoutingTrace | TraceJson): RoutingTrace {
  if ("format" in trace) return RoutingTrace.fromJSON(trace);
  if (typeof trace.output?.byToken === "function") return trace;
  throw new GanderError("invalid-option", "trace", "it is no routing", "answer.routing, or its JSON");
}

declare global {
  interface HTMLElementTagNameMap {
    "gander-routing": GanderRoutingElement;
  }
}

if (globalThis.customElements && !customElements.get("gander-routing")) {
  customElements.define("gander-routing", GanderRoutingElement);
}
