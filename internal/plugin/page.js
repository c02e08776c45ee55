"use strict";
const table = document.getElementById("relations");
const rows = Array.from(table.tBodies[0].rows);
const texts = rows.map((row) => row.textContent.toLowerCase());
const words = document.getElementById("words");
const verdict = document.getElementById("verdict");
const owners = document.getElementById("owners");
const shown = document.getElementById("shown");
function filter() {
  const wanted = words.value.toLowerCase().split(" ").filter(Boolean);
  let count = 0;
  rows.forEach((row, i) => {
    const cells = row.cells;
    const show = wanted.every((word) => texts[i].includes(word)) &&
      (verdict.value === "" || verdict.value === row.dataset.verdict || verdict.value === "finding" && "finding" in row.dataset) &&
      (!owners.checked || cells[3].textContent === "Owner" || cells[4].textContent === "Owner");
    row.hidden = !show;
    if (show) count++;
  });
  shown.textContent = count + " of " + rows.length + " shown";
}
function sortable(table) {
  Array.from(table.tHead.rows[0].cells).forEach((cell, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      const down = cell.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0];
      const order = Array.from(body.rows).map((row) => [row.cells[column].textContent, row]);
      order.sort((a, b) => (down ? -1 : 1) * a[0].localeCompare(b[0], "en", { numeric: true }));
      body.append(...order.map((pair) => pair[1]));
    });
  });
}
document.getElementById("filter").hidden = false;
for (const control of [words, verdict, owners]) control.addEventListener("input", filter);
document.getElementById("filter").addEventListener("submit", (event) => event.preventDefault());
document.querySelectorAll("table").forEach(sortable);
filter();
