"use strict";
// Pages with results: their tables sort and filter, and the address says how, so that a view can be linked.
// tables.js, which comes before, sorts by data-sort. "+18.1 ± 10.5; 0.018" is 18.1; "2 of 3 seeds" is no number.
const NUMBER = /^[*†]*([+-]?[\d,]*\.?\d+)(?=$|[\s%;†*])(?! of )/;
const tables = all(".results table");

function setSortValues(table) {
  all("thead th", table).forEach((_, column) => {
    const cells = [...table.tBodies[0].rows].map((row) => row.cells[column]);
    const values = cells.map((cell) => cell.textContent.trim().match(NUMBER)?.[1].replaceAll(",", "") ?? "");
    if (values.every((value) => value === "")) return; // a column of words
    cells.forEach((cell, i) => { cell.dataset.sort = values[i]; });
  });
}

function addFilter() {
  const place = tables[0].closest(".md-typeset__scrollwrap") ?? tables[0];
  place.insertAdjacentHTML("beforebegin", '<div class="filter"><input type="search" placeholder="Filter rows" aria-label="Filter rows"><output></output></div>');
  const [input, output] = all(".filter > *");
  const rows = tables.flatMap((table) => [...table.tBodies[0].rows]);
  const apply = () => {
    const words = input.value.toLowerCase().split(" ").filter(Boolean);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    output.textContent = words.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows` : "";
  };
  input.addEventListener("input", () => { apply(); remember("filter", input.value.trim()); });
  input.value = new URLSearchParams(location.search).get("filter") ?? "";
  apply();
}

function remember(name, value) {
  const address = new URL(location.href);
  if (value) address.searchParams.set(name, value);
  else address.searchParams.delete(name);
  history.replaceState(history.state, "", address);
}

for (const [i, table] of tables.entries()) {
  setSortValues(table);
  sortable(table);
  table.tHead.addEventListener("click", () => {
    const head = table.tHead.querySelector("[aria-sort]");
    if (head) remember("sort", [i, head.cellIndex, head.getAttribute("aria-sort")].join("-"));
  });
}
if (tables.length) {
  addFilter();
  const [table, column, order] = (new URLSearchParams(location.search).get("sort") ?? "").split("-");
  if (tables[table]?.tHead.rows[0].cells[column] && ["ascending", "descending"].includes(order)) sort(tables[table], Number(column), order);
}
