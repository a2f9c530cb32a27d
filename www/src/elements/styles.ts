// The looks of <gander-routing>. Everything that a page may want to change is a custom property, by default of its own.

export const styles = `
:host {
  --_text: var(--gander-routing-text, light-dark(#1b1d21, #e9e7e2));
  --_muted: var(--gander-routing-muted, light-dark(#575b63, #a6abb3));
  --_background: var(--gander-routing-background, light-dark(#ffffff, #1d2025));
  --_empty: var(--gander-routing-empty, light-dark(#eeece6, #2a2e35));
  --_edge: var(--gander-routing-edge, light-dark(#dcd8ce, #363b43));
  --_accent: var(--gander-routing-accent, light-dark(#0b5ea3, #82c0f2));
  display: block;
  container-type: inline-size;
  color: var(--_text);
  font: 0.9rem / 1.45 system-ui, sans-serif;
}
:host([hidden]), [hidden] {
  display: none !important;
}
* {
  box-sizing: border-box;
}
button {
  border: 1px solid var(--_edge);
  border-radius: 0.4rem;
  padding: 0.25rem 0.7rem;
  min-height: 2rem;
  background: var(--_background);
  color: inherit;
  font: inherit;
  cursor: pointer;
}
button[aria-pressed="true"] {
  border-color: var(--_accent);
  box-shadow: inset 0 0 0 1px var(--_accent);
}
:focus-visible {
  outline: 3px solid var(--_accent);
  outline-offset: 1px;
}
.views {
  display: flex;
  gap: 0.35rem;
  margin-bottom: 0.6rem;
}
.body {
  display: grid;
  gap: 0.75rem 1.25rem;
  grid-template-columns: minmax(0, 1fr);
}
.scroller {
  overflow: auto;
  max-width: 100%;
  max-height: var(--gander-routing-height, min(34rem, 75vh));
  border: 1px solid var(--_edge);
  border-radius: 0.5rem;
  padding: 0;
  background: var(--_background);
  /* Changes of the theme reach the canvas by the end of this. */
  transition: background-color 1ms, color 1ms;
}
.spacer {
  position: relative;
}
canvas {
  position: sticky;
  top: 0;
  left: 0;
  display: block;
  cursor: crosshair;
}
.probe {
  position: absolute;
  width: 0;
  height: 0;
  font: 0.8125rem ui-monospace, monospace;
}
.cell {
  position: absolute;
  pointer-events: none;
  border-radius: 2px;
}
.detail {
  min-height: 8.5rem;
}
.detail p {
  margin: 0 0 0.2rem;
}
.where {
  font-size: 1rem;
  font-weight: 600;
}
.token {
  border-bottom: 2px solid var(--_accent);
  font-family: ui-monospace, monospace;
  white-space: pre-wrap;
}
.module, .muted {
  color: var(--_muted);
  font-size: 0.8rem;
  overflow-wrap: anywhere;
}
ul {
  margin: 0.4rem 0 0;
  padding: 0;
  list-style: none;
}
.weights li {
  display: grid;
  grid-template-columns: auto minmax(0, 1fr) auto;
  gap: 0.1rem 0.5rem;
  align-items: center;
  margin-bottom: 0.35rem;
}
p.next, ul.next {
  color: var(--_muted);
  font-size: 0.8rem;
}
ul.next li {
  display: flex;
  justify-content: space-between;
  gap: 0.5rem;
}
.bar {
  grid-column: 1 / -1;
  height: 0.35rem;
  border-radius: 0.2rem;
}
.number {
  font-variant-numeric: tabular-nums;
  font-weight: 600;
}
.name {
  overflow-wrap: anywhere;
}
.badge {
  display: inline-block;
  min-width: 1.4rem;
  border-radius: 0.3rem;
  padding: 0 0.25rem;
  font-size: 0.8rem;
  font-weight: 700;
  line-height: 1.4rem;
  text-align: center;
}
.badge, .bar {
  forced-color-adjust: none;
}
.legend {
  display: flex;
  flex-wrap: wrap;
  gap: 0.35rem;
  margin-top: 0.75rem;
}
.legend button {
  display: flex;
  gap: 0.4rem;
  align-items: center;
  padding: 0.15rem 0.6rem 0.15rem 0.3rem;
  text-align: left;
}
details {
  margin-top: 0.75rem;
}
summary {
  width: fit-content;
  color: var(--_muted);
  cursor: pointer;
}
.table {
  position: relative;
  overflow: auto;
  margin-top: 0.4rem;
  max-height: 24rem;
  border: 1px solid var(--_edge);
  border-radius: 0.5rem;
}
table {
  border-collapse: collapse;
  width: 100%;
}
th, td {
  border-bottom: 1px solid var(--_edge);
  padding: 0.3rem 0.6rem;
  text-align: left;
  vertical-align: top;
}
thead th {
  position: sticky;
  top: 0;
  background: var(--_background);
}
@container (min-width: 46rem) {
  .body {
    grid-template-columns: minmax(0, max-content) minmax(15rem, 1fr);
  }
}
`;
