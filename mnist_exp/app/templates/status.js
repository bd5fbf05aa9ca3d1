// Whether the card answers what was asked last, and by the models chosen: until it does, it is dimmed and says why.
const answer = document.querySelector("#answer");
const [pill, said] = element.querySelectorAll("p");
const PATIENCE = 800; // ms without an answer after which the card is dimmed
const PROBE = 2000; // ms between two looks at a server that does not answer
let asked = 0, answered = 0, since = 0, chosen = "", speaking = null;

function show(text) {
  if (pill.textContent === text) return;
  pill.textContent = text;
  answer.toggleAttribute("data-stale", Boolean(text));
  if (text) speak(text, 0);
}
function speak(text, wait = 700) { // after the stroke, not at each of its answers
  clearTimeout(speaking);
  speaking = setTimeout(() => { said.textContent = text; }, wait);
}
function named(id) {
  return document.querySelector(`#${id} input`).value.split(" · ").slice(0, 2).join(" · ");
}

globalThis.asking = (drawing, first, second) => {
  asked += 1;
  since = performance.now();
  const now = JSON.stringify([first, second]);
  if (chosen && now !== chosen) show(`Loading ${JSON.parse(chosen)[0] === first ? named("second") : named("first")} …`);
  chosen = now;
  return [`${drawing || ""}#${asked}`, first, second];
};
globalThis.unanswered = () => {
  answered = asked;
  show("No answer: the server is busy. Draw on to ask again.");
};

new MutationObserver(() => {
  const cards = answer.querySelector("[data-question]");
  if (!cards || Number(cards.dataset.question) < asked) return;
  answered = asked;
  show("");
  if (cards.dataset.spoken !== said.textContent) speak(cards.dataset.spoken);
}).observe(answer, { childList: true, subtree: true });

setInterval(() => {
  if (answered < asked && performance.now() - since > PATIENCE) show(pill.textContent || "Reading …");
}, 200);
setInterval(async () => { // without a connection Gradio may hand nothing on: then a drawing is not even asked about
  const waiting = Math.max(since, globalThis.drawnAt ?? 0);
  if ((answered === asked && waiting === since) || performance.now() - waiting < PROBE) return;
  const reached = await fetch(`${gradio_config.root}/gradio_api/app_id`).then((reply) => reply.ok, () => false);
  if (!reached) show("The server does not answer. Your drawing stays here.");
}, PROBE);
