"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const key = (row, k) => {
    const cell = row.cells[k];
    const exact = cell.dataset.value ?? cell.textContent.trim();
    return heads[k].classList.contains("number") && exact !== "" ? Number(exact.replace("inf", "Infinity")) : exact;
  };
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === ""); // what has no value stands last
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };
  heads.forEach((head, k) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const isUp = head.getAttribute("aria-sort") === "descending" ? true
        : head.getAttribute("aria-sort") === "ascending" ? false
        : !head.classList.contains("number"); // numbers begin with the largest
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", isUp ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => [key(row, k), row]);
      const empty = rows.filter(([value]) => value === "");
      const full = rows.filter(([value]) => value !== "");
      full.sort((a, b) => (isUp ? compare(a[0], b[0]) : compare(b[0], a[0])));
      body.append(...[...full, ...empty].map(([, row]) => row));
    });
  });
}
