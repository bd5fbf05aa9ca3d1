// Gradio would speak the browser's language on a page written in English.
Object.defineProperty(navigator, "language", { value: "en" });
// It would also take its address from headers that a proxy may not send; the browser knows where it is.
let config;
Object.defineProperty(window, "gradio_config", {
  get: () => config,
  set(value) {
    if (value?.root) value.root = location.origin + location.pathname.replace(/\/+$/, "");
    config = value;
  },
});
