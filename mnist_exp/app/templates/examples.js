// A click on a mistake asks for it by its number.
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-index]");
  if (button) trigger("select", { index: Number(button.dataset.index) });
});
