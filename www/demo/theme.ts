// Light or dark: the system's choice, or the visitor's. A script of its own, so that the page never flashes in the other.

const names = ["auto", "light", "dark"] as const;
type Theme = (typeof names)[number];

const KEY = "gander-theme";

function chosen(): Theme {
  try {
    return names.find((name) => name === localStorage.getItem(KEY)) ?? "auto";
  } catch {
    // Storage is forbidden.
    return "auto";
  }
}

function apply(theme: Theme): void {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

function keep(theme: Theme): void {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // It holds until the page is left.
  }
}

let theme = chosen();
apply(theme);

document.addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("theme");
  if (!button) return;
  button.textContent = `Theme: ${theme}`;
  button.onclick = () => {
    theme = names[(names.indexOf(theme) + 1) % names.length] ?? "auto";
    apply(theme);
    keep(theme);
    button.textContent = `Theme: ${theme}`;
  };
});
