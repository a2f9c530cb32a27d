// The page's views, one at a time. The address says which: `#column`; so links lead there and the back key leads back.

import { byId } from "./elements.ts";

export const views = ["ask", "column", "catalogue", "judgements"] as const;
export type View = (typeof views)[number];

/** @param onShow told of every view that is shown, the first included */
export function startViews(onShow: (view: View) => void): void {
  const show = (isFirst: boolean) => {
    const named = views.find((name) => `#${name}` === location.hash);
    // A link within the view, not to another.
    if (!named && location.hash !== "" && !isFirst) return;
    const view = named ?? "ask";
    for (const name of views) {
      byId(`view-${name}`).hidden = name !== view;
      const link = document.querySelector(`nav a[href="#${name}"]`);
      if (name === view) link?.setAttribute("aria-current", "page");
      else link?.removeAttribute("aria-current");
    }
    onShow(view);
    if (isFirst) return;
    window.scrollTo(0, 0);
    // The keyboard goes on from there, and screen readers say where they are.
    byId("main").focus({ preventScroll: true });
  };
  window.addEventListener("hashchange", () => show(false));
  show(true);
}

export function goTo(view: View): void {
  location.hash = view;
}
