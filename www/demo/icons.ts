// The page's few drawings. Drawn, because not every system has letters for them.

const SVG = "http://www.w3.org/2000/svg";

/** A thumb. Its meaning stands beside it as words. */
export function thumb(direction: "up" | "down"): SVGSVGElement {
  const icon = document.createElementNS(SVG, "svg");
  icon.setAttribute("viewBox", "0 0 24 24");
  icon.setAttribute("class", direction === "up" ? "icon" : "icon down");
  icon.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute(
    "d",
    "M3 11h3.5v10H3zM8.5 21V11l3.6-7.6c1.8 0 2.8 1.1 2.8 2.7L14.2 10h5.3c1.5 0 2.4 1.2 2 2.6l-1.9 6.7c-.3 1-1.2 1.7-2.2 1.7z",
  );
  icon.append(path);
  return icon;
}
