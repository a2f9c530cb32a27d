// Builds the page's elements. Strings become text nodes, never markup: titles and texts come from catalogues and models.

type Attributes = Record<string, string | number | boolean>;

export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false) made.setAttribute(key, String(value));
  }
  made.append(...children);
  return made;
}

/** An element that index.html promises. */
export function byId<Type extends HTMLElement = HTMLElement>(id: string): Type {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no element #${id}`);
  return found as Type;
}

/** Sets a text if it is another than before: screen readers say every change of a status. */
export function say(place: HTMLElement, text: string): void {
  if (place.textContent !== text) place.textContent = text;
}

/** A control below its name. */
export function labelled(text: string, control: HTMLElement): HTMLElement {
  return element("div", { class: "field" }, element("label", { for: control.id }, text), control);
}

/** A box in which what is too wide scrolls, by the keyboard too. `name` is for those who cannot see what it holds. */
export function scrollBox(name: string, ...children: Node[]): HTMLElement {
  const attributes = { class: "scroll", role: "region", "aria-label": name, tabindex: 0 };
  return element("div", attributes, ...children);
}
