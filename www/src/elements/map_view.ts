// The heat map with its pointer and its keyboard. The canvas holds what is in view; for those who cannot see it there is a
// grid, of which only the current cell exists: half a million elements would serve nobody.

import type { RoutingTable } from "../routing_table.ts";
import { make } from "./make.ts";
import { drawMap, type MapColours } from "./map_drawing.ts";
import { layOut, type MapLayout, placeAt } from "./map_layout.ts";
import type { ExpertPalette } from "./palette.ts";
import { type Place, placeInWords } from "./words.ts";

const blockOfRows = 10;

export class MapView {
  readonly element: HTMLElement;
  /** The place to tell about: under the pointer, else the chosen one. */
  onLook: (place: Place) => void = () => {};
  /** The chosen place changed, by a click or the keyboard. */
  onChoose: (place: Place) => void = () => {};
  readonly #canvas = make("canvas", "");
  readonly #row = make("div", "");
  readonly #grid = make("div", "", this.#row);
  readonly #probe = make("span", "probe");
  readonly #spacer = make("div", "spacer", this.#canvas, this.#grid, this.#probe);
  #table: RoutingTable | undefined;
  #palette: ExpertPalette | undefined;
  #layout: MapLayout | undefined;
  #chosen: Place = { token: 0, row: 0 };
  #hovered: Place | undefined;
  #highlighted: string | undefined;
  #isDrawing = false;

  constructor() {
    this.element = make("div", "scroller", this.#spacer);
    this.#canvas.setAttribute("aria-hidden", "true");
    this.#grid.setAttribute("role", "grid");
    this.#grid.setAttribute("aria-label", "Experts by token and layer");
    this.#row.setAttribute("role", "row");
    this.element.addEventListener("scroll", () => this.draw(), { passive: true });
    this.element.addEventListener("transitionend", () => this.draw());
    this.#canvas.addEventListener("pointermove", (event) => this.#hover(this.#placeOf(event)));
    this.#canvas.addEventListener("pointerleave", () => this.#hover(undefined));
    this.#canvas.addEventListener("click", (event) => {
      const place = this.#placeOf(event);
      if (place) this.#choose(place, true);
    });
    this.#grid.addEventListener("keydown", (event) => this.#moveByKey(event));
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  get chosen(): Place {
    return this.#chosen;
  }

  /** Shows another table. The chosen place stays where there is such a one. */
  show(table: RoutingTable, palette: ExpertPalette): void {
    this.#table = table;
    this.#palette = palette;
    this.#hovered = undefined;
    const { token, row } = this.#chosen;
    this.#chosen = {
      token: Math.max(0, Math.min(token, table.tokens.length - 1)),
      row: Math.min(row, table.modules.length),
    };
    this.#grid.setAttribute("aria-colcount", String(table.tokens.length));
    this.#grid.setAttribute("aria-rowcount", String(table.modules.length + 1));
    this.#layOut(table);
    this.#placeCell(false);
    this.draw();
  }

  set highlighted(expert: string | undefined) {
    this.#highlighted = expert;
    this.draw();
  }

  /** Draws before the next frame, however often it is asked for. */
  draw(): void {
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    requestAnimationFrame(() => {
      this.#isDrawing = false;
      this.#drawNow();
    });
  }

  #layOut(table: RoutingTable): void {
    const context = this.#canvas.getContext("2d");
    if (!context) return;
    const widthIn = (font: string) => (text: string) => {
      context.font = font;
      return context.measureText(text).width;
    };
    const { tokenFont, labelFont } = this.#fonts();
    const isCoarse = matchMedia("(pointer: coarse)").matches;
    const fonts = { ofToken: widthIn(tokenFont), ofLabel: widthIn(labelFont) };
    this.#layout = layOut(table, fonts, isCoarse ? 22 : 16);
    this.#spacer.style.width = `${this.#layout.width}px`;
    this.#spacer.style.height = `${this.#layout.height}px`;
  }

  #fonts() {
    const { fontSize, fontFamily } = getComputedStyle(this.#probe);
    const size = Number.parseFloat(fontSize) || 13;
    const plain = getComputedStyle(this.element).fontFamily || "sans-serif";
    return {
      tokenFont: `${size}px ${fontFamily || "monospace"}`,
      labelFont: `${size - 1.5}px ${plain}`,
      letterFont: `600 ${size - 3}px ${plain}`,
    };
  }

  #drawNow(): void {
    const context = this.#canvas.getContext("2d");
    if (!context || !this.#table || !this.#layout || !this.#palette) return;
    const { clientWidth: width, clientHeight: height, scrollLeft: left, scrollTop: top } = this.element;
    if (width === 0 || height === 0) return;
    const scale = globalThis.devicePixelRatio || 1;
    const [across, down] = [Math.round(width * scale), Math.round(height * scale)];
    if (this.#canvas.width !== across || this.#canvas.height !== down) {
      this.#canvas.width = across;
      this.#canvas.height = down;
      this.#canvas.style.width = `${width}px`;
      this.#canvas.style.height = `${height}px`;
    }
    drawMap(context, {
      table: this.#table,
      layout: this.#layout,
      palette: this.#palette,
      colours: this.#colours(),
      ...this.#fonts(),
      left,
      top,
      width,
      height,
      scale,
      current: this.#hovered ?? this.#chosen,
      highlighted: this.#highlighted,
    });
  }

  /** A canvas knows no custom properties; an element does. */
  #colours(): MapColours {
    const colourOf = (name: string) => {
      this.#probe.style.color = `var(--_${name})`;
      return getComputedStyle(this.#probe).color;
    };
    return {
      text: colourOf("text"),
      muted: colourOf("muted"),
      background: colourOf("background"),
      empty: colourOf("empty"),
      accent: colourOf("accent"),
    };
  }

  #placeOf(event: MouseEvent): Place | undefined {
    if (!this.#layout) return undefined;
    const { left, top } = this.#canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top];
    // What lies under the texts and the labels, which stay where they are, is not what is seen there.
    if (x < this.#layout.labelWidth) return undefined;
    const isHead = y < this.#layout.headHeight;
    return placeAt(this.#layout, x + this.element.scrollLeft, isHead ? y : y + this.element.scrollTop);
  }

  #hover(place: Place | undefined): void {
    if (place?.token === this.#hovered?.token && place?.row === this.#hovered?.row) return;
    this.#hovered = place;
    this.onLook(place ?? this.#chosen);
    this.draw();
  }

  #choose(place: Place, isFocused: boolean): void {
    this.#chosen = place;
    this.#hovered = undefined;
    this.#placeCell(isFocused);
    this.#reveal(place);
    this.onLook(place);
    this.onChoose(place);
    this.draw();
  }

  /** Puts a new cell in the place of the old: screen readers say what gets the focus, not what changes below it. */
  #placeCell(isFocused: boolean): void {
    if (!this.#layout || !this.#table || !this.#palette) return;
    if (this.#table.tokens.length === 0) {
      this.#row.replaceChildren();
      return;
    }
    const { token, row } = this.#chosen;
    const { columns, rows, rowHeight } = this.#layout;
    const cell = make("div", "cell");
    cell.setAttribute("role", "gridcell");
    cell.setAttribute("aria-colindex", String(token + 1));
    cell.setAttribute("aria-selected", "true");
    cell.setAttribute("aria-label", placeInWords(this.#table, this.#chosen, this.#palette.nameOf));
    cell.tabIndex = 0;
    cell.style.left = `${columns[token]}px`;
    cell.style.top = `${rows[row]}px`;
    cell.style.width = `${(columns[token + 1] ?? 0) - (columns[token] ?? 0) - 2}px`;
    cell.style.height = `${rowHeight - 2}px`;
    this.#row.setAttribute("aria-rowindex", String(row + 1));
    const hadFocus =
      isFocused || this.#row.contains((this.element.getRootNode() as ShadowRoot).activeElement);
    this.#row.replaceChildren(cell);
    if (hadFocus) cell.focus({ preventScroll: true });
  }

  /** Scrolls as little as possible. The texts and the labels cover the edges. */
  #reveal({ token, row }: Place): void {
    if (!this.#layout) return;
    const { columns, rows, rowHeight, labelWidth, headHeight } = this.#layout;
    const { scrollLeft, scrollTop, clientWidth, clientHeight } = this.element;
    const [start, end] = [columns[token] ?? 0, columns[token + 1] ?? 0];
    const top = rows[row] ?? 0;
    this.element.scrollLeft = Math.min(start - labelWidth, Math.max(scrollLeft, end - clientWidth));
    this.element.scrollTop = Math.min(top - headHeight, Math.max(scrollTop, top + rowHeight - clientHeight));
  }

  #moveByKey(event: KeyboardEvent): void {
    if (!this.#table) return;
    const { token, row } = this.#chosen;
    const [lastToken, lastRow] = [this.#table.tokens.length - 1, this.#table.modules.length];
    const isWhole = event.ctrlKey || event.metaKey;
    const targets: Record<string, Place> = {
      ArrowRight: { token: token + 1, row },
      ArrowLeft: { token: token - 1, row },
      ArrowDown: { token, row: row + 1 },
      ArrowUp: { token, row: row - 1 },
      PageDown: { token, row: row + blockOfRows },
      PageUp: { token, row: row - blockOfRows },
      Home: { token: 0, row: isWhole ? 0 : row },
      End: { token: lastToken, row: isWhole ? lastRow : row },
    };
    const target = Object.hasOwn(targets, event.key) ? targets[event.key] : undefined;
    if (!target || event.altKey) return;
    event.preventDefault();
    const within = (value: number, last: number) => Math.max(0, Math.min(value, last));
    this.#choose({ token: within(target.token, lastToken), row: within(target.row, lastRow) }, true);
  }
}
