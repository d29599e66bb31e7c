"use strict";
// Tables that sort, for the report and the site: by data-sort or else by the text of the cells; what has neither stays below.
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

function sortable(table) {
  all("thead th", table).forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    if (head.querySelector("a")) button.ariaLabel = `Sort by ${head.textContent}`; // the link stays a link
    else button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(table, column, nextOrder(table, column)));
  });
}
const sortValue = (row, column) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
const isNumeric = (table, column) => [...table.tBodies[0].rows].every((row) => !Number.isNaN(Number(sortValue(row, column))));
function nextOrder(table, column) {
  const [first, second] = isNumeric(table, column) ? ["descending", "ascending"] : ["ascending", "descending"];
  return table.tHead.rows[0].cells[column].getAttribute("aria-sort") === first ? second : first;
}
function sort(table, column, order) {
  const body = table.tBodies[0];
  const value = (row) => sortValue(row, column);
  const [filled, empty] = [[], []];
  for (const row of body.rows) (value(row) === "" ? empty : filled).push(row);
  const compare = isNumeric(table, column)
    ? (a, b) => Number(value(a)) - Number(value(b))
    : (a, b) => value(a).localeCompare(value(b));
  filled.sort((a, b) => (order === "ascending" ? 1 : -1) * compare(a, b));
  all("thead th", table).forEach((one) => one.removeAttribute("aria-sort"));
  table.tHead.rows[0].cells[column].setAttribute("aria-sort", order);
  body.append(...filled, ...empty);
}
