"use strict";

// The page of a search is drawn anew as trials end; the place that is being read stays where it is.
const events = new EventSource(document.currentScript.src.replace("static/search.js", "events"));
let seen = null, updating = false;
events.onmessage = async ({ data }) => {
  if (seen === null) seen = data;
  if (seen === data || updating) return;
  seen = data;
  updating = true;
  const answer = await fetch(location.href).catch(() => null);
  if (answer?.ok) {
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const main = document.querySelector("main");
    if (!main.isEqualNode(fresh.querySelector("main"))) main.replaceWith(fresh.querySelector("main"));
    document.title = fresh.title;
  }
  updating = false;
};
