"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const value = (row, i) => {
    const cell = row.cells[i];
    return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
  };
  heads.forEach((head, i) => {
    const numeric = head.classList.contains("n");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const order = before === null ? (numeric ? "descending" : "ascending")
        : before === "ascending" ? "descending" : "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const rows = [...body.rows];
      rows.sort((a, b) => {
        if (!numeric) {
          return sign * a.cells[i].textContent.localeCompare(b.cells[i].textContent, "en", { numeric: true });
        }
        const [x, y] = [value(a, i), value(b, i)];
        if (x === null || y === null) return (x === null) - (y === null); // what is missing stays last
        return sign * (x - y);
      });
      body.append(...rows);
    });
  });
}
