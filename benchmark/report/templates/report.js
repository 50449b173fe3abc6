"use strict";
// Filtering and sorting. Without scripts the page shows everything, in the report's own order.
(() => {
  const tasks = [...document.querySelectorAll("details.task")];
  const texts = tasks.map((task) => task.firstElementChild.textContent.toLowerCase());
  const find = document.getElementById("find");
  const show = document.getElementById("show");
  const fits = {
    "": () => true,
    errors: (task) => "errors" in task.dataset,
    odd: (task) => "odd" in task.dataset,
  };
  const filter = () => {
    const wanted = find.value.trim().toLowerCase();
    const fit = fits[show.value] || ((task) => task.dataset.verdict === show.value);
    let shown = 0;
    tasks.forEach((task, place) => {
      task.hidden = !(fit(task) && texts[place].includes(wanted));
      shown += task.hidden ? 0 : 1;
    });
    document.getElementById("shown").textContent = `${shown} of ${tasks.length}`;
  };
  if (tasks.length > 1) {
    document.querySelector(".controls").hidden = false;
    find.addEventListener("input", filter);
    show.addEventListener("input", filter);
    filter();
  }
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.matches("details.task")) {
      target.hidden = false;
      target.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", reveal);
  reveal();

  const worth = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.sort ?? cell.textContent.trim();
    const number = parseFloat(text.replace(/,/g, "").replace("−", "-"));
    return cell.classList.contains("num") ? (isNaN(number) ? -Infinity : number) : text;
  };
  document.querySelectorAll("table.sortable").forEach((table) => {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    if (body.rows.length < 2) return;
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.title = "Sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const order = head.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", order);
        const sign = order === "ascending" ? 1 : -1;
        [...body.rows]
          .sort((a, b) => {
            const [x, y] = [worth(a, column), worth(b, column)];
            return sign * (typeof x === "number" ? x - y || 0 : String(x).localeCompare(String(y)));
          })
          .forEach((row) => body.append(row));
      });
    });
  });
})();
