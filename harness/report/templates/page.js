"use strict";
// A click (or Enter, Space) on a column's head sorts its table by it; another one turns the order round.
// Cells without a value stay at the end either way.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    const numeric = head.classList.contains("n");
    const key = (row) => {
      const cell = row.cells[column];
      const text = cell.dataset.k ?? cell.firstChild?.textContent.trim() ?? "";
      return numeric ? parseFloat(text) : text;
    };
    const rows = [...body.rows].map((row) => [key(row), row]);
    const absent = (value) => Number.isNaN(value) || value === "" || value === "–";
    rows.sort(([a], [b]) => {
      if (absent(a) || absent(b)) return absent(a) - absent(b);
      const order = numeric ? a - b : a.localeCompare(b, "en", { numeric: true });
      return down ? -order : order;
    });
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows.map(([, row]) => row));
  }));
}

// The part of the page that is being read is marked in the contents, and kept in sight there.
const contents = document.querySelector("nav ul");
const links = new Map([...contents.querySelectorAll("a")].map((link) => [link.hash.slice(1), link]));
const reading = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    for (const link of links.values()) link.removeAttribute("aria-current");
    const link = links.get(entry.target.id);
    link.setAttribute("aria-current", "true");
    contents.scrollLeft = link.offsetLeft - contents.clientWidth / 2 + link.offsetWidth / 2;
  }
}, { rootMargin: "-15% 0px -80% 0px" });
document.querySelectorAll("main > section").forEach((section) => reading.observe(section));
// Paper has no folds: figures are printed all, tables as the reader left them.
const folded = document.querySelectorAll("details.more");
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...folded].filter((part) => !part.open);
  opened.forEach((part) => { part.open = true; });
});
addEventListener("afterprint", () => opened.forEach((part) => { part.open = false; }));
