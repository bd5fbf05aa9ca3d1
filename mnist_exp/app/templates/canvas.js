// The drawing is a list of steps, so that each can be taken back; it goes out as a PNG whose alpha is the ink.
// The ink is black here; the style sheet turns it white in the dark.
const canvas = element.querySelector("canvas");
const board = element.querySelector(".board");
const pen = canvas.getContext("2d");
const EVERY = 150; // ms between two questions while a stroke is drawn
const SETTLED = 250; // ms without a stroke after which the reasons are asked for
const SMALL = 4; // px that a finger which only rests may tremble
const ERASER = 36;
const STORED = "drawing"; // in the tab's own memory: it outlives a restart of the server
const SAMPLES = {
  3: [[[150, 85], [180, 55], [225, 55], [245, 85], [230, 125], [195, 142], [235, 155], [255, 195], [235, 235], [190, 248], [150, 225]]],
  25: [[[70, 105], [92, 65], [135, 65], [150, 105], [125, 155], [75, 240], [155, 240]],
    [[350, 60], [280, 60], [272, 140], [310, 130], [345, 155], [350, 200], [320, 240], [270, 232]]],
scribble: [[[84, 60], [336, 240], [336, 60], [84, 240], [210, 30], [42, 150], [378, 150], [210, 270]]],
};
const memory = (() => { try { return sessionStorage; } catch { return null; } })(); // a frame may have none
let steps = []; // {points, width, erase}, {picture}, {move} or {clear}
let undone = [], stroke = null, width = 20, erase = false, asked = 0, waiting = null, settling = null, sent = "";

function shown() {
  return [...steps.slice(steps.findLastIndex((step) => step.clear) + 1), ...(stroke ? [stroke] : [])];
}
function redraw() {
  const parts = shown();
  let [x, y] = [0, 0];
  const places = parts.toReversed().map((step) => step.move ? ([x, y] = [x + step.move[0], y + step.move[1]]) : [x, y]).reverse();
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.lineCap = pen.lineJoin = "round";
  parts.forEach((step, i) => {
    pen.setTransform(1, 0, 0, 1, ...places[i]);
    if (step.picture) pen.drawImage(step.picture, 0, 0);
    else if (step.points) line(step);
  });
  pen.setTransform(1, 0, 0, 1, 0, 0);
  board.classList.toggle("inked", parts.length > 0);
  return parts.length > 0;
}
function line({ points, width, erase }) {
  pen.globalCompositeOperation = erase ? "destination-out" : "source-over";
  pen.lineWidth = width;
  pen.beginPath();
  pen.arc(...points[0], width / 2, 0, 7); // a tap leaves a dot
  pen.fill();
  pen.beginPath();
  pen.moveTo(...points[0]);
  for (const point of points) pen.lineTo(...point);
  pen.stroke();
  pen.globalCompositeOperation = "source-over";
}

function ask(last) {
  clearTimeout(waiting);
  clearTimeout(settling);
  const wait = last ? 0 : Math.max(0, asked + EVERY - performance.now());
  waiting = setTimeout(() => {
    asked = performance.now();
    sent = redraw() ? canvas.toDataURL("image/png") : "";
    props.value = sent;
    globalThis.drawnAt = asked;
    trigger("input");
    if (!last) return;
    settling = setTimeout(() => trigger("select"), SETTLED);
    memory?.setItem(STORED, sent);
  }, wait);
}
function add(...more) {
  steps.push(...more);
  undone = [];
  ask(true);
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
}
canvas.addEventListener("pointerdown", (event) => {
  if (stroke?.moved || event.button > 0) return; // a finger that rests gives way to one that draws
  event.preventDefault();
  canvas.focus({ preventScroll: true, focusVisible: false });
  canvas.setPointerCapture(event.pointerId);
  stroke = { points: [place(event)], width: erase ? ERASER : width, erase, pointer: event.pointerId, moved: false };
  ask(false);
});
canvas.addEventListener("pointermove", (event) => {
  if (!stroke || event.pointerId !== stroke.pointer) return;
  for (const part of event.getCoalescedEvents?.() ?? [event]) stroke.points.push(place(part));
  const [start, end] = [stroke.points[0], stroke.points.at(-1)];
  stroke.moved ||= Math.hypot(end[0] - start[0], end[1] - start[1]) > SMALL;
  redraw();
  if (performance.now() - asked > EVERY) ask(false);
});
for (const end of ["pointerup", "pointercancel"])
  canvas.addEventListener(end, (event) => {
    if (!stroke || event.pointerId !== stroke.pointer) return;
    const { points, width, erase } = stroke;
    stroke = null;
    add({ points, width, erase });
  });

const actions = {
  undo() {
    if (steps.length) undone.push(steps.pop());
    ask(true);
  },
  redo() {
    if (undone.length) steps.push(undone.pop());
    ask(true);
  },
  clear() {
    stroke = null;
    shown().length ? add({ clear: true }) : ask(true);
  },
};
element.addEventListener("click", (event) => {
  const { do: action, pen: chosen, sample } = event.target.closest("button")?.dataset ?? {};
  if (action) actions[action]();
  if (sample) {
    add(...SAMPLES[sample].map((points) => ({ points: sample === "scribble" ? points : smooth(points), width: 20 })));
    canvas.focus({ preventScroll: true });
  }
  if (!chosen) return;
  erase = chosen === "eraser";
  if (!erase) width = Number(chosen);
  for (const other of element.querySelectorAll("[data-pen]")) other.setAttribute("aria-pressed", other.dataset.pen === chosen);
});
function smooth(points) { // Chaikin's corners, twice
  for (let i = 0; i < 2; i++)
    points = [points[0], ...points.slice(1).flatMap(([x, y], k) =>
      [0.25, 0.75].map((t) => [points[k][0] + t * (x - points[k][0]), points[k][1] + t * (y - points[k][1])])), points.at(-1)];
  return points;
}
const ARROWS = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] };
canvas.addEventListener("keydown", (event) => {
  if (event.key === "Escape") actions.clear();
  if (!ARROWS[event.key] || !shown().length) return;
  event.preventDefault();
  add({ move: ARROWS[event.key] });
});
document.addEventListener("keydown", (event) => {
  if (event.target.closest?.("input, textarea, select, [role=listbox]") || !(event.ctrlKey || event.metaKey)) return;
  const key = event.key.toLowerCase();
  if (key !== "z" && key !== "y") return;
  event.preventDefault();
  key === "y" || event.shiftKey ? actions.redo() : actions.undo();
});

// A picture from the server, an upload or an example, is put on the canvas as if it had been drawn.
watch("value", () => {
  if (props.value && props.value !== sent) put(props.value);
});
function put(address) {
  const picture = new Image();
  picture.onload = () => add({ clear: true }, { picture });
  picture.src = address;
}
// A file dropped or pasted anywhere goes the way of the button.
function upload(files) {
  const picker = document.querySelector("#upload input[type=file], input[type=file]");
  if (!files?.length) return;
  const one = new DataTransfer();
  one.items.add(files[0]);
  picker.files = one.files;
  picker.dispatchEvent(new Event("change", { bubbles: true }));
}
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  upload(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => upload(event.clipboardData.files));

const stored = memory?.getItem(STORED);
if (stored) put(stored);
