"""The page: Gradio components, their events, and how they are served."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from mnist_exp.app import views
from mnist_exp.app.explanation import Explainer
from mnist_exp.app.feedback import Feedback
from mnist_exp.app.loaded_runs import MAX_LOADED, LoadedRuns, describe
from mnist_exp.app.pictures import as_drawing, drawing_ink
from mnist_exp.app.server import Guard, GuardedBlocks
from mnist_exp.errors import UserError
from mnist_exp.handwriting import as_prepared, photo_to_ink, read_image
from mnist_exp.recognition import Answer, Reader

TEMPLATES = Path(__file__).parent / "templates"
MAX_UPLOAD = 10_000_000  # bytes
WAITING = 64  # questions in the queue; further visitors learn that the server is busy
AT_ONCE = 2
NONE = ""  # the choice of no second model


class Demo:
    """The events of the page, in terms of what the browser sends."""

    def __init__(self, runs: LoadedRuns, first: str, feedback: Feedback) -> None:
        self.runs, self.first, self.feedback = runs, first, feedback
        self._explainer = lru_cache(MAX_LOADED)(Explainer)

    def choices(self) -> list[tuple[str, str]]:
        """What the lists of runs show, and the name that each entry stands for."""
        return [(describe(run, name), name) for name, run in self.runs.listed().items()]

    def warm_up(self) -> None:
        """Read what the first visitor would wait for."""
        explainer = self._explainer(self.runs.reader(self.first))
        explainer.reader.neighbours  # noqa: B018  (building it is the point)
        explainer.mistakes  # noqa: B018

    def _readings(self, drawing: object, *names: object) -> list[tuple[Reader, str, Answer]]:
        """What each model reads; the second may be none, or the first once more."""
        ink = drawing_ink(drawing)
        readers = {str(name): self.runs.reader(name) for name in names if name or name is names[0]}
        return [
            (reader, describe(reader.run, name), reader.read_ink(ink))
            for name, reader in readers.items()
        ]

    def read(self, drawing: object, first: object, second: object) -> str:
        """The answers."""
        return views.cards(self._readings(drawing, first, second))

    def explain(self, drawing: object, first: object, second: object) -> tuple[str, str]:
        """The reasons; the thanks for an earlier correction disappear."""
        return views.reasons(
            [
                (self._explainer(reader), title, answer)
                for reader, title, answer in self._readings(drawing, first, second)
            ]
        ), ""

    def put(self, upload: object) -> str:
        """An upload as a drawing: what was taken for ink."""
        image = read_image(_stored(upload), "the picture")
        if (ink := as_prepared(image)) is None:
            ink = photo_to_ink(image)
        if not ink.any():
            raise UserError("the picture is blank: there is hardly any contrast in it")
        return as_drawing(ink)

    def put_example(self, first: object, event: gr.EventData) -> str:
        """A mistake of the model as a drawing."""
        mistakes = self._explainer(self.runs.reader(first)).mistakes or []
        index = event._data.get("index") if isinstance(event._data, dict) else None
        if type(index) is not int or not 0 <= index < len(mistakes):
            raise UserError("choose one of the examples")
        return as_drawing(mistakes[index].image)

    def labels(self, first: object) -> Any:
        """The classes of a model, to correct it by."""
        return gr.Dropdown(choices=list(self.runs.reader(first).classes), value=None)

    def examples(self, first: object) -> str:
        """The most confident mistakes of a model."""
        return views.examples(self._explainer(self.runs.reader(first)))

    def correct(self, drawing: object, first: object, label: object, agreed: object) -> str:
        """Keep a correction, if the visitor agreed to that."""
        if agreed is not True:
            raise UserError("nothing is kept unless you tick the box")
        ((reader, title, answer),) = self._readings(drawing, first)
        self.feedback.save(drawing_ink(drawing), label, reader.classes, answer, title)
        return f"Kept as {label}. Thank you."

    def refresh(self) -> tuple[Any, Any]:
        """The lists of runs, as they are when a page is opened."""
        choices = self.choices()
        return gr.Dropdown(choices=choices), gr.Dropdown(choices=[("none", NONE), *choices])

    def predict(self, path: object) -> dict[str, Any]:
        """What `mnist_exp.predict --json` prints for one picture, read by the first model."""
        stored = _stored(path)  # `path` is the parameter's name in the API
        image = read_image(stored, "the picture")
        return self.runs.reader(self.first).read(image).as_json(stored.name)


def _stored(upload: object) -> Path:
    """Where Gradio put a file that was sent."""
    if not isinstance(upload, dict) or not isinstance(upload.get("path"), str):
        raise UserError("send one picture")
    return Path(upload["path"])


def build_page(demo: Demo) -> gr.Blocks:
    """Lay out the components and tie them to the events."""
    choices = demo.choices()
    quick: dict[str, Any] = {
        "show_progress": "hidden",
        "trigger_mode": "always_last",
        "concurrency_limit": AT_ONCE,
        "api_visibility": "private",
    }
    page = GuardedBlocks(title="Draw a digit", analytics_enabled=False, delete_cache=(600, 600))
    with page:
        gr.HTML(_text("head.html"))
        with gr.Row():
            with gr.Column(scale=5, min_width=260):
                canvas = gr.HTML(
                    "",
                    html_template=_text("canvas.html"),
                    css_template=_text("canvas.css"),
                    js_on_load=_text("canvas.js"),
                    elem_id="canvas",
                )
                with gr.Accordion("Upload a picture", open=False):
                    upload = gr.Image(
                        type="filepath",
                        show_label=False,
                        sources=["upload", "clipboard"],
                        height=180,
                    )
                with gr.Accordion("Try what it got wrong", open=False) as wrong:
                    tries = gr.HTML("", js_on_load=_text("examples.js"), elem_id="examples")
            with gr.Column(scale=6, min_width=260):
                answer = gr.HTML(views.cards([]), elem_id="answer")
                with gr.Row():
                    first = gr.Dropdown(choices, value=demo.first, label="Model", elem_id="first")
                    second = gr.Dropdown(
                        [("none", NONE), *choices],
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
                # From the run's files: the model itself is loaded once the port answers.
                classes = demo.runs.listed()[demo.first].model_card["classes"]
                label = gr.Dropdown(list(classes), label="It should have been", value=None)
                keep = gr.Button("Keep this drawing")
            thanks = gr.HTML("", elem_id="thanks")
        asked = [canvas, first, second]
        chosen = [first.input, second.input]
        # One event for all that changes the answer: of several, an earlier one might end last.
        gr.on([canvas.input, *chosen], demo.read, asked, answer, **quick)
        gr.on([canvas.select, *chosen], demo.explain, asked, [why, thanks], **quick)
        first.input(demo.examples, first, tries, **quick)
        first.input(demo.labels, first, label, **quick)
        # Uploads come as the paths where they were stored: Gradio would decode them without bounds.
        upload.upload(demo.put, upload, canvas, preprocess=False, **quick)
        wrong.expand(demo.examples, first, tries, **quick)
        tries.select(demo.put_example, first, canvas, **quick)
        keep.click(demo.correct, [canvas, first, label, agreed], thanks, **quick)
        page.load(demo.refresh, None, [first, second], **quick)
        # For programs, which call it by its name; nothing of it is shown.
        gr.Button(visible=False).click(
            demo.predict,
            gr.Image(type="filepath", visible=False, label="image"),
            gr.JSON(visible=False),
            api_name="predict",
            concurrency_limit=AT_ONCE,
            preprocess=False,
        )
    return page


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def serve(demo: Demo, host: str, port: int, auth: tuple[str, str] | None) -> gr.Blocks:
    """Build the page and answer on a port, until the process ends or the page is closed."""
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
        css_paths=[TEMPLATES / "page.css"],
        app_kwargs={"middleware": [Middleware(Guard)]},
        prevent_thread_lock=True,
    )
    return page
