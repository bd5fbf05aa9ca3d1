// The table: a click on a column's name sorts by it, the words typed above it filter.
const runs = document.getElementById("runs");
const body = runs.tBodies[0];

function value(run, column) {
  const text = run.cells[column].dataset.value;
  return text === "" || Number.isNaN(Number(text)) ? text : Number(text);
}

// Empty cells (the baseline has no difference to itself) come last, whatever the direction.
function compare(a, b) {
  if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
  return typeof a === "number" ? -1 : 1;
}

runs.tHead.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-sort]");
  if (!button) return;
  const head = button.closest("th");
  const column = Number(button.dataset.sort);
  const descending = head.getAttribute("aria-sort") !== "descending";
  for (const other of runs.tHead.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const sorted = [...body.rows].map((run) => [value(run, column), run]);
  sorted.sort(([a], [b]) => {
    if ((a === "") !== (b === "")) return a === "" ? 1 : -1;
    return descending ? compare(b, a) : compare(a, b);
  });
  body.append(...sorted.map(([, run]) => run));
});

document.getElementById("filter").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const run of body.rows) {
    const text = run.textContent.toLowerCase();
    run.hidden = !words.every((word) => text.includes(word));
    shown += run.hidden ? 0 : 1;
  }
  document.getElementById("shown").textContent = words.length ? `${shown} of ${body.rows.length} runs` : "";
});

// One pair at a time; the panel with the pictures stands beneath its matrix.
const pairs = [...document.querySelectorAll(".pair")];

function showPair(number) {
  pairs.forEach((pair, index) => { pair.hidden = index !== number; });
  pairs[number].querySelector(".slot").append(document.getElementById("panel"));
}

if (pairs.length) {
  const panel = document.getElementById("panel");
  const hint = panel.firstElementChild;
  document.getElementById("pair").addEventListener("change", (event) => {
    panel.replaceChildren(hint);
    showPair(Number(event.target.value));
  });
  showPair(0);
}
