"use strict";

const root = document.body.dataset.root;
const live = document.getElementById("live");
const connection = document.getElementById("connection");
const marks = new Set(JSON.parse(sessionStorage.getItem("marks") ?? "[]"));

// Make `old` like `fresh` and leave alone what is the same: focus, marks and open lists survive.
function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName !== fresh.nodeName) { old.replaceWith(fresh); return; }
  if (old.nodeType !== Node.ELEMENT_NODE) { old.data = fresh.data; return; }
  if (old.localName === "iframe") return;
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  morphChildren(old, fresh);
}

function morphChildren(old, fresh) {
  const byId = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  const wanted = new Set([...fresh.children].map((child) => child.id));
  for (const [id, child] of byId) if (!wanted.has(id)) child.remove();
  let at = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const match = child.id ? byId.get(child.id) : at && !at.id ? at : null;
    if (!match) {
      if (child.localName === "tr") child.classList.add("new");
      old.insertBefore(child, at);
      continue;
    }
    while (child.id && at !== match && at && !at.id) { // what is moved loses the focus: rather clear the way
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
    if (match === at) at = at.nextSibling; else old.insertBefore(match, at);
    morph(match, child);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

let updating = false, again = false;
async function update() {
  if (updating) { again = true; return; }
  updating = true;
  try {
    const part = "part" in live.dataset;
    const query = new URLSearchParams(location.search);
    if (part) query.set("part", "1");
    const answer = await fetch(`${part ? location.pathname : `${root}/rows`}?${query}`);
    if (answer.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").body;
      const log = document.querySelector(".log");
      const atEnd = log && log.scrollTop + log.clientHeight > log.scrollHeight - 8;
      morphChildren(live, fresh);
      if (atEnd) document.querySelector(".log")?.scrollTo(0, 1e9);
      showMarks();
    }
  } catch { /* the board is gone for the moment: the events say so and say when it is back */ }
  updating = false;
  if (again) { again = false; update(); }
}

if (live) {
  let seen = null;
  const events = new EventSource(`${root}/events`);
  events.onopen = () => { connection.textContent = "live"; connection.classList.add("live"); };
  events.onerror = () => { connection.textContent = "not connected; trying again"; connection.classList.remove("live"); };
  events.onmessage = ({ data }) => { if (seen !== data) { seen = data; update(); } };
  document.querySelector(".log")?.scrollTo(0, 1e9);
  setInterval(() => {
    for (const element of document.querySelectorAll("[data-since]")) {
      const seconds = Math.max(0, Math.round(Date.now() / 1000 - element.dataset.since));
      const [minutes, hours] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)];
      const two = (number) => String(number).padStart(2, "0");
      element.textContent = hours ? `${hours}:${two(minutes % 60)} h` : minutes ? `${minutes}:${two(seconds % 60)} min` : `${seconds} s`;
    }
  }, 1000);
}

function go(changes) {
  const query = new URLSearchParams(location.search);
  for (const [key, value] of Object.entries(changes)) if (value) query.set(key, value); else query.delete(key);
  history.replaceState(null, "", `?${query}`);
  update();
}

function showMarks() {
  for (const box of document.querySelectorAll("[data-mark]")) box.checked = marks.has(box.dataset.mark);
  const button = document.getElementById("compare");
  if (!button) return;
  button.disabled = marks.size < 2;
  button.textContent = marks.size ? `Compare ${marks.size} marked` : "Compare marked";
}

let typing;
document.getElementById("filter")?.addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => go({ filter: event.target.value.trim(), limit: "" }), 150);
});
document.getElementById("view")?.addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("change", ({ target }) => {
  if (target.dataset.column) {
    const chosen = [...document.querySelectorAll("[data-column]:checked")].map((box) => box.dataset.column);
    go({ columns: chosen.join(",") });
  } else if (target.dataset.mark) {
    if (target.checked) marks.add(target.dataset.mark); else marks.delete(target.dataset.mark);
    sessionStorage.setItem("marks", JSON.stringify([...marks]));
    showMarks();
  }
});
document.getElementById("compare")?.addEventListener("click", () => {
  location.href = `${root}/compare?${new URLSearchParams([...marks].map((name) => ["run", name]))}`;
});
document.addEventListener("click", async ({ target }) => {
  if (!target.matches("[data-copy]")) return;
  const command = target.parentElement.querySelector("pre");
  try {
    await navigator.clipboard.writeText(command.textContent);
  } catch { // without https the browser lets a person copy, and no page
    getSelection().selectAllChildren(command);
  }
  target.textContent = "Copied";
  setTimeout(() => { target.textContent = "Copy"; }, 1500);
});
showMarks();
