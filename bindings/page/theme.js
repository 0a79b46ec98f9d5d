// SPDX-License-Identifier: GPL-3.0-or-later
// Light, dark, or what the system prefers; the browser stores the choice for this address.

const THEME_ITEM = "slabby-theme";

function applyTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

// A browser may refuse storage; the choice lasts as long as the page then.
function storedTheme() {
  try {
    const theme = localStorage.getItem(THEME_ITEM);
    return ["light", "dark"].includes(theme) ? theme : "system";
  } catch {
    return "system";
  }
}

function storeTheme(theme) {
  try {
    localStorage.setItem(THEME_ITEM, theme);
  } catch {
    // See storedTheme.
  }
}

function makeThemeSwitch() {
  const select = byId("theme");
  select.value = storedTheme();
  applyTheme(select.value);
  select.addEventListener("change", () => {
    applyTheme(select.value);
    storeTheme(select.value);
  });
}
