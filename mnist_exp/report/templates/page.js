"use strict";

// Builds what the macro `digit` of parts.html writes: keep the two alike.
function digit([position, caption], columns) {
  const figure = document.createElement("figure");
  const picture = document.createElement("span");
  picture.className = "digit";
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", caption);
  picture.style.setProperty("--x", position % columns);
  picture.style.setProperty("--y", Math.floor(position / columns));
  const text = document.createElement("figcaption");
  text.textContent = caption;
  figure.append(picture, text);
  return figure;
}

function showGallery(gallery) {
  const panel = document.getElementById("panel");
  const title = document.createElement("h3");
  title.textContent = gallery.title;
  const list = document.createElement("div");
  list.className = "gallery";
  panel.replaceChildren(title, list);
  // The sheet says how many columns it has in the one rule that carries it.
  const probe = document.createElement("span");
  probe.className = "digit";
  list.append(probe);
  const columns = Number(getComputedStyle(probe).getPropertyValue("--columns"));
  probe.remove();
  list.append(...gallery.items.map((item) => digit(item, columns)));
  panel.scrollTop = 0;
  panel.scrollIntoView({ block: "nearest" });
}

const galleriesElement = document.getElementById("galleries");
const galleries = galleriesElement ? JSON.parse(galleriesElement.textContent) : {};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-gallery]");
  if (!button) return;
  for (const pressed of document.querySelectorAll('[data-gallery][aria-pressed="true"]')) pressed.removeAttribute("aria-pressed");
  button.setAttribute("aria-pressed", "true");
  showGallery(galleries[button.dataset.gallery]);
});
