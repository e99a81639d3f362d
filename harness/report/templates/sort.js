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
