// SPDX-License-Identifier: GPL-3.0-or-later
// Elements are made and filled as text, never as markup: names and events come from the program.

const byId = (id) => document.getElementById(id);

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// What stands there already stays: a screen reader is not made to say it again.
function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

function replace(target, children) {
  const now = children.map((child) => child.outerHTML).join("");
  if (target.dataset.shown !== now) {
    target.replaceChildren(...children);
    target.dataset.shown = now;
  }
}

function row(head, ...cells) {
  const made = element("tr");
  const first = element("th", head);
  first.scope = "row";
  made.append(first, ...cells.map((cell) => (cell instanceof Node ? cell : element("td", cell))));
  return made;
}
