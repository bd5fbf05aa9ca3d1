"""The page: Gradio components, their events, and how they are served."""

import os
from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

for _name in [
    name for name in os.environ if name.startswith("GRADIO_") and name != "GRADIO_TEMP_DIR"
]:
    del os.environ[
        _name
    ]  # some win over what `serve` says: GRADIO_ALLOWED_PATHS over a list that is empty
os.environ["GRADIO_ANALYTICS_ENABLED"] = (
    "False"  # no request leaves the machine; it is read when gradio is imported
)

import gradio as gr
from starlette.middleware import Middleware

from mnist_exp.app import views
from mnist_exp.app.explanation import Explainer
from mnist_exp.app.feedback import Feedback
from mnist_exp.app.pictures import as_drawing, drawing_ink
from mnist_exp.app.server import Guard, tame
from mnist_exp.app.loaded_runs import MAX_LOADED, Shelf, describe
from mnist_exp.errors import UserError
from mnist_exp.handwriting import as_prepared, photo_to_ink, read_image
from mnist_exp.recognition import Answer, Reader

HERE = Path(__file__).parent
MAX_UPLOAD = 10_000_000  # bytes
WAITING = 64  # questions in the queue; more are told that the server is busy
AT_ONCE = 2
NONE = ""  # the choice of no second model

P = ParamSpec("P")
T = TypeVar("T")


def told(function: Callable[P, T]) -> Callable[P, T]:
    """Show a mistake to whoever made it, and print nothing."""

    @wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return function(*arguments, **named)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return call


def canvas_component() -> gr.HTML:
    """Strokes by mouse, touch or pen; its value is a PNG in a data URI, "" for an empty one.

    Neither this nor `picture_component` is a class: Gradio writes a stub file beside the module of
    every subclass.
    """
    html, css, js = (
        (HERE / f"canvas.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
    )
    return gr.HTML("", html_template=html, css_template=css, js_on_load=js, elem_id="canvas")


def picture_component(**options: Any) -> gr.Image:
    """An uploaded picture, handed on as the path where it was stored: Gradio would decode it
    without bounds.
    """
    picture = gr.Image(type="filepath", **options)
    picture.preprocess = lambda payload: getattr(payload, "path", None)  # type: ignore[method-assign]
    return picture


class Demo:
    """The events of the page, in terms of what the browser sends."""

    def __init__(self, shelf: Shelf, first: str, feedback: Feedback) -> None:
        self.shelf, self.first, self.feedback = shelf, first, feedback
        self._explainer = lru_cache(MAX_LOADED)(Explainer)

    def choices(self) -> list[tuple[str, str]]:
        """What the lists of runs show, and the names it stands for."""
        return [(describe(run, name), name) for name, run in self.shelf.runs().items()]

    def warm_up(self) -> None:
        """Read what the first visitor would wait for."""
        explainer = self._explainer(self.shelf.reader(self.first))
        explainer.reader.neighbours  # noqa: B018  (building it is the point)
        explainer.mistakes  # noqa: B018

    def _readings(
        self, drawing: object, names: tuple[object, object]
    ) -> list[tuple[Reader, str, Answer]]:
        ink = drawing_ink(drawing)
        readers = {str(name): self.shelf.reader(name) for name in names if name or name is names[0]}
        return [
            (reader, describe(reader.run, name), reader.read_ink(ink))
            for name, reader in readers.items()
        ]

    @told
    def read(self, drawing: object, first: object, second: object) -> str:
        """The answers."""
        return views.cards(self._readings(drawing, (first, second)))

    @told
    def explain(self, drawing: object, first: object, second: object) -> tuple[str, str]:
        """The reasons, and no thanks any more for the correction of another drawing."""
        found = self._readings(drawing, (first, second))
        return views.reasons(
            [(self._explainer(reader), title, answer) for reader, title, answer in found]
        ), ""

    @told
    def put(self, path: object) -> str:
        """An upload as a drawing: what was taken for ink."""
        image = read_image(Path(_stored(path)), "the picture")
        prepared = as_prepared(image)
        ink = photo_to_ink(image) if prepared is None else prepared
        if not ink.any():
            raise UserError("the picture is blank: there is hardly any contrast in it")
        return as_drawing(ink)

    @told
    def put_example(self, first: object, event: gr.EventData) -> str:
        """A mistake of the model as a drawing."""
        mistakes = self._explainer(self.shelf.reader(first)).mistakes
        index = event._data.get("index") if isinstance(event._data, dict) else None
        if mistakes is None or type(index) is not int or not 0 <= index < len(mistakes.images):
            raise UserError("choose one of the examples")
        return as_drawing(mistakes.images[index])

    @told
    def labels(self, first: object) -> Any:
        """The classes of a model, to correct it by."""
        return gr.Dropdown(choices=list(self.shelf.reader(first).classes), value=None)

    @told
    def examples(self, first: object) -> str:
        """The most confident mistakes of a model."""
        return views.examples(self._explainer(self.shelf.reader(first)))

    @told
    def correct(self, drawing: object, first: object, label: object, agreed: object) -> str:
        """Keep a correction, if that was agreed to."""
        if agreed is not True:
            raise UserError("nothing is kept unless you tick the box")
        ((reader, title, answer),) = self._readings(drawing, (first, NONE))
        self.feedback.save(drawing_ink(drawing), label, reader.classes, answer, title)
        return f"Kept as {label}. Thank you."

    @told
    def predict(self, path: object) -> dict[str, Any]:
        """What `mnist_exp.predict --json` prints for one picture, read by the model that the demo
        started with.
        """
        image = read_image(Path(_stored(path)), "the picture")
        return self.shelf.reader(self.first).read(image).as_json(Path(_stored(path)).name)


def _stored(path: object) -> str:
    if not isinstance(path, str):
        raise UserError("send one picture")
    return path


def build_page(demo: Demo) -> gr.Blocks:
    """Lay out the components and tie them to the events."""
    classes = demo.shelf.runs()[demo.first].model_card[
        "classes"
    ]  # the model itself is loaded once the port answers
    quick: dict[str, Any] = {
        "show_progress": "hidden",
        "trigger_mode": "always_last",
        "concurrency_limit": AT_ONCE,
    }
    quick |= {"api_visibility": "private"}
    page = gr.Blocks(title="Draw a digit", analytics_enabled=False, delete_cache=(600, 600))
    with page:
        gr.HTML(
            '<div class="head"><h1>Draw a digit</h1><p>It is read while you draw, and the page shows why. '
            "Nothing you draw is kept.</p></div>"
        )
        with gr.Row():
            with gr.Column(scale=5, min_width=260):
                canvas = canvas_component()
                with gr.Accordion("Upload a picture", open=False):
                    upload = picture_component(
                        show_label=False, sources=["upload", "clipboard"], height=180
                    )
                with gr.Accordion("Try what it got wrong", open=False) as wrong:
                    script = (HERE / "examples.js").read_text(encoding="utf-8")
                    tries = gr.HTML("", js_on_load=script, elem_id="examples")
            with gr.Column(scale=6, min_width=260):
                answer = gr.HTML(views.cards([]) + views.EMPTY, elem_id="answer")
                with gr.Row():
                    first = gr.Dropdown(
                        demo.choices(), value=demo.first, label="Model", elem_id="first"
                    )
                    second = gr.Dropdown(
                        [("none", NONE), *demo.choices()],
                        value=NONE,
                        label="Beside it",
                        elem_id="second",
                    )
        why = gr.HTML("", elem_id="why")
        with gr.Accordion("Was it wrong? Teach it", open=False):
            agreed = gr.Checkbox(
                False, label=f"Keep my corrections, as pictures in {demo.feedback.folder}"
            )
            with gr.Row():
                label = gr.Dropdown(list(classes), label="It should have been", value=None)
                keep = gr.Button("Keep this drawing")
            thanks = gr.HTML("", elem_id="thanks")
        asked = [canvas, first, second]
        # One event for all that changes the answer: of several, one that began earlier might end last.
        gr.on([canvas.input, first.input, second.input], demo.read, asked, answer, **quick)
        gr.on(
            [canvas.select, first.input, second.input], demo.explain, asked, [why, thanks], **quick
        )
        first.input(demo.examples, first, tries, **quick)
        first.input(demo.labels, first, label, **quick)
        upload.upload(demo.put, upload, canvas, **quick)
        wrong.expand(demo.examples, first, tries, **quick)
        tries.select(demo.put_example, first, canvas, **quick)
        keep.click(demo.correct, [canvas, first, label, agreed], thanks, **quick)
        page.load(lambda: _listed(demo), None, [first, second], **quick)
        _endpoint(demo)
    return page


def _listed(demo: Demo) -> tuple[Any, Any]:
    found = demo.choices()
    return gr.Dropdown(choices=found), gr.Dropdown(choices=[("none", NONE), *found])


def _endpoint(demo: Demo) -> None:
    """The API for programs; its components are not shown."""
    image, result = picture_component(visible=False, label="image"), gr.JSON(visible=False)
    button = gr.Button(visible=False)
    button.click(demo.predict, image, result, api_name="predict", concurrency_limit=AT_ONCE)


def serve(
    demo: Demo, host: str, port: int | None, auth: tuple[str, str] | None, block: bool = True
) -> gr.Blocks:
    """Build the page and answer on a port; what GRADIO_* variables could change is said
    outright.
    """
    tame()
    page = build_page(demo)
    page.queue(max_size=WAITING, default_concurrency_limit=AT_ONCE, api_open=False)
    page.launch(
        server_name=host,
        server_port=port,
        auth=auth,
        share=False,
        inbrowser=False,
        show_error=False,
        quiet=True,
        max_threads=8,
        max_file_size=MAX_UPLOAD,
        allowed_paths=[],
        root_path="",
        enable_monitoring=False,
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        strict_cors=True,
        state_session_capacity=1000,
        footer_links=["api"],
        theme=gr.themes.Default(
            primary_hue="orange", font=["system-ui", "sans-serif"], font_mono=["monospace"]
        ),
        css_paths=[HERE / "page.css"],
        app_kwargs={"middleware": [Middleware(Guard)]},
        prevent_thread_lock=True,
    )
    if block:
        page.block_thread()
    return page
