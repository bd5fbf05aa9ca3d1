// Strokes as a list, so that they can be taken back and redrawn; the picture goes out as a PNG whose alpha is the ink.
const canvas = element.querySelector("canvas");
const board = element.querySelector(".board");
const pen = canvas.getContext("2d");
const EVERY = 150; // ms between two questions while a stroke is drawn
const SETTLED = 250; // ms without a stroke after which the reasons are asked for
let done = []; // {points, width}, {picture} or {clear}
let stroke = null, width = 20, asked = 0, waiting = null, settling = null, sent = "";

function redraw() {
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.strokeStyle = pen.fillStyle = getComputedStyle(canvas).color;
  pen.lineCap = pen.lineJoin = "round";
  const start = done.findLastIndex((item) => item.clear) + 1;
  const shown = [...done.slice(start), ...(stroke ? [stroke] : [])];
  for (const item of shown) item.picture ? pen.drawImage(item.picture, 0, 0) : line(item);
  board.classList.toggle("inked", shown.length > 0);
  return shown.length > 0;
}

function line({ points, width }) {
  pen.lineWidth = width;
  pen.beginPath();
  pen.moveTo(...points[0]);
  for (const point of points) pen.lineTo(...point);
  pen.stroke();
}

function ask(last) {
  clearTimeout(waiting);
  clearTimeout(settling);
  const wait = last ? 0 : Math.max(0, asked + EVERY - performance.now());
  waiting = setTimeout(() => {
    asked = performance.now();
    sent = redraw() ? canvas.toDataURL("image/png") : "";
    props.value = sent;
    trigger("input");
    if (last) settling = setTimeout(() => trigger("select"), SETTLED);
  }, wait);
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
}

canvas.addEventListener("pointerdown", (event) => {
  if (stroke || event.button > 0) return;
  event.preventDefault();
  canvas.focus({ preventScroll: true, focusVisible: false });
  canvas.setPointerCapture(event.pointerId);
  stroke = { points: [place(event)], width, pointer: event.pointerId };
  ask(false);
});
canvas.addEventListener("pointermove", (event) => {
  if (!stroke || event.pointerId !== stroke.pointer) return;
  for (const part of event.getCoalescedEvents?.() ?? [event]) stroke.points.push(place(part));
  redraw();
  if (performance.now() - asked > EVERY) ask(false);
});
for (const end of ["pointerup", "pointercancel"])
  canvas.addEventListener(end, (event) => {
    if (!stroke || event.pointerId !== stroke.pointer) return;
    done.push(stroke);
    stroke = null;
    ask(true);
  });

function undo() {
  if (done.pop()) ask(true);
}
function clear() {
  stroke = null;
  if (redraw()) done.push({ clear: true });
  ask(true);
}

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.do) ({ undo, clear })[button.dataset.do]();
  if (!button.dataset.pen) return;
  width = Number(button.dataset.pen);
  for (const other of element.querySelectorAll("[data-pen]")) other.setAttribute("aria-pressed", other === button);
});
document.addEventListener("keydown", (event) => {
  if (event.target.closest?.("input, textarea, select, [role=listbox]")) return;
  if (event.key === "Escape") clear();
  if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey) {
    event.preventDefault();
    undo();
  }
});

// A picture from the server, an upload or an example, is put on the canvas as if it had been drawn.
watch("value", () => {
  if (!props.value || props.value === sent) return;
  const picture = new Image();
  picture.onload = () => {
    done.push({ clear: true }, { picture: tinted(picture) });
    ask(true);
  };
  picture.src = props.value;
});
function tinted(picture) {
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const brush = copy.getContext("2d");
  brush.drawImage(picture, 0, 0);
  brush.globalCompositeOperation = "source-in";
  brush.fillStyle = getComputedStyle(canvas).color;
  brush.fillRect(0, 0, copy.width, copy.height);
  return copy;
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
