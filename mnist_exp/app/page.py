"""The page: Gradio components, their events, and how they are served."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from mnist_exp.app import views
from mnist_exp.app.explanation import Explainer
from mnist_exp.app.feedback import Feedback
from mnist_exp.app.limits import MAX_UPLOAD, PerVisitor
from mnist_exp.app.loaded_runs import MAX_LOADED, LoadedRuns
from mnist_exp.app.naming import Title, describe
from mnist_exp.app.pictures import as_drawing, drawing_ink
from mnist_exp.app.server import FirstScript, Guard, GuardedBlocks
from mnist_exp.app.views import Reading
from mnist_exp.errors import UserError
from mnist_exp.handwriting import Ink, as_prepared, photo_to_ink, read_image

TEMPLATES = Path(__file__).parent / "templates"
WAITING = 64  # questions in the queue; further visitors learn that the server is busy
AT_ONCE = 2
NONE = ""  # the choice of no second model
UNREAD = {".heic", ".heif", ".avif", ".svg"}  # what phones and drawing programs save
ASKING = "(drawing, first, second) => asking(drawing, first, second)"  # in status.js
QUICK: dict[str, Any] = {
    "show_progress": "hidden",
    "trigger_mode": "always_last",
    "concurrency_limit": AT_ONCE,
    "api_visibility": "private",
}


class Demo:
    """The events of the page, in terms of what the browser sends."""

    def __init__(self, runs: LoadedRuns, first: str, feedback: Feedback | None) -> None:
        self.runs, self.first, self.feedback = runs, first, feedback
        self._explainer = lru_cache(MAX_LOADED)(Explainer)

    def choices(self) -> list[tuple[str, str]]:
        """What the lists of runs show, and the name that each entry stands for."""
        return [(str(describe(run, name)), name) for name, run in self.runs.listed().items()]

    def warm_up(self) -> None:
        """Read what the first visitor would wait for."""
        explainer = self._explainer(self.runs.reader(self.first))
        explainer.reader.neighbours  # noqa: B018  (building it is the point)
        explainer.mistakes  # noqa: B018

    def _reading(self, ink: Ink, name: str) -> Reading:
        """What a model reads; a model that cannot be loaded says so in its own place."""
        try:
            explainer = self._explainer(self.runs.reader(name))
        except UserError as error:
            run = self.runs.listed().get(name)
            return Reading(describe(run, name) if run else Title("", ""), problem=str(error))
        reader = explainer.reader
        return Reading(describe(reader.run, name), reader.read_ink(ink), explainer)

    def _readings(self, drawing: object, *names: object) -> list[Reading]:
        """What each model reads; the second may be none, or the first once more."""
        ink = drawing_ink(drawing)
        wanted = [str(name) for name in names if name or name is names[0]]
        return [self._reading(ink, name) for name in dict.fromkeys(wanted)]

    def read(self, drawing: object, first: object, second: object) -> str:
        """The answers; after a `#` the page numbers its questions, to know late answers."""
        question = ""
        if isinstance(drawing, str):
            drawing, _, question = drawing.partition("#")
        return views.cards(self._readings(drawing, first, second), question[:20])

    def explain(self, drawing: object, first: object, second: object) -> str:
        """The reasons."""
        return views.reasons(self._readings(drawing, first, second))

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

    def about(self, first: object) -> tuple[Any, str]:
        """The classes of a model, to correct it by, and its most confident mistakes."""
        try:
            explainer = self._explainer(self.runs.reader(first))
        except UserError:  # its card says why
            return gr.Dropdown(choices=[]), ""
        classes = gr.Dropdown(choices=list(explainer.reader.classes))
        return classes, views.examples(explainer.mistakes or [])

    def correct(self, drawing: object, first: object, label: object, agreed: object) -> str:
        """Keep a correction, if the visitor agreed to that."""
        if self.feedback is None:
            raise UserError("this page keeps nothing")
        if agreed is not True:
            raise UserError("nothing is kept unless you tick the box")
        ink, reader = drawing_ink(drawing), self.runs.reader(first)
        title = str(describe(reader.run, str(first)))
        self.feedback.save(ink, label, reader.classes, reader.read_ink(ink), title)
        return f"Kept as {label}. Thank you."

    def refresh(self, first: object) -> tuple[Any, Any]:
        """The lists of runs, as they are when a page is opened; the newest for one that is gone."""
        choices = self.choices()
        if first not in [name for _, name in choices]:
            first = self.runs.preferred()
        models = gr.Dropdown(choices=choices, value=str(first))
        return models, gr.Dropdown(choices=[("none", NONE), *choices])

    def predict(self, path: object) -> dict[str, Any]:
        """What `mnist_exp.predict --json` prints for one picture, read by the first model."""
        stored = _stored(path)  # `path` is the parameter's name in the API
        image = read_image(stored, "the picture")
        name = self.first if self.first in self.runs.listed() else self.runs.preferred()
        return self.runs.reader(name).read(image).as_json(stored.name)


def _stored(upload: object) -> Path:
    """Where Gradio put a file that was sent."""
    if not isinstance(upload, dict) or not isinstance(upload.get("path"), str):
        raise UserError("send one picture")
    stored = Path(upload["path"])
    if stored.suffix.lower() in UNREAD:
        raise UserError(f"{stored.suffix[1:].upper()} is not read: save it as JPEG or PNG")
    return stored


def build_page(demo: Demo) -> gr.Blocks:
    """Lay out the components and tie them to the events."""
    choices = demo.choices()
    # From the run's files: the model itself is loaded once the port answers.
    classes = demo.runs.listed()[demo.first].model_card["classes"]
    page = GuardedBlocks(title="Draw a digit", analytics_enabled=False, delete_cache=(600, 600))
    with page:
        gr.HTML(_text("head.html"))
        with gr.Column(elem_id="stage"):
            canvas = _html("canvas", css_template=_text("canvas.css"))
            with gr.Column(elem_id="reading"):
                _html("status")
                answer = gr.HTML(views.cards([]), elem_id="answer")
                with gr.Row(elem_id="models"):
                    first = gr.Dropdown(choices, value=demo.first, label="Model", elem_id="first")
                    second = gr.Dropdown(
                        [("none", NONE), *choices],
                        value=NONE,
                        label="Compare with",
                        elem_id="second",
                    )
                with gr.Accordion(
                    "Wrong? Save the right answer", open=False, visible=demo.feedback is not None
                ):
                    with gr.Row():
                        label = gr.Dropdown(list(classes), label="The right answer", value=None)
                        keep = gr.Button("Save")
                    agreed = gr.Checkbox(
                        False, label="Keep my drawing and its answer on this server, to train on"
                    )
                    thanks = gr.HTML("", elem_id="thanks")
            with gr.Column(elem_id="pictures"):
                upload = gr.UploadButton("Upload a picture", elem_id="upload", size="md")
                with gr.Accordion("Try what it got wrong", open=False):
                    tries = gr.HTML("", js_on_load=_text("examples.js"), elem_id="examples")
        why = gr.HTML("", elem_id="why")
        asked = [canvas, first, second]
        chosen = [first.input, second.input]
        # One event for all that changes the answer: of several, an earlier one might end last.
        reading = gr.on([canvas.input, *chosen], demo.read, asked, answer, js=ASKING, **QUICK)
        reading.failure(None, js="() => unanswered()")
        gr.on([canvas.select, *chosen], demo.explain, asked, why, **QUICK)
        canvas.input(None, None, thanks, js="() => ''")  # they were for another drawing
        first.input(demo.about, first, [label, tries], **QUICK)
        # Uploads come as the paths where they were stored: Gradio would decode them without bounds.
        upload.upload(demo.put, upload, canvas, preprocess=False, **QUICK)
        tries.select(demo.put_example, first, canvas, **QUICK)
        keep.click(demo.correct, [canvas, first, label, agreed], thanks, **QUICK)
        opened = page.load(demo.refresh, first, [first, second], **QUICK)
        opened.then(demo.read, asked, answer, js=ASKING, **QUICK)
        opened.then(demo.about, first, [label, tries], **QUICK)
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


def _html(name: str, **options: Any) -> gr.HTML:
    """A component of a template and its script."""
    script = _text(f"{name}.js")
    return gr.HTML(
        "", html_template=_text(f"{name}.html"), js_on_load=script, elem_id=name, **options
    )


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def serve(
    demo: Demo, host: str, port: int, auth: tuple[str, str] | None, root_path: str, public: bool
) -> gr.Blocks:
    """Build the page and answer on a port, until the process ends or the page is closed."""
    page = build_page(demo)
    middleware = [Middleware(Guard), Middleware(FirstScript)]
    if public:
        middleware.insert(0, Middleware(PerVisitor))
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
        root_path=root_path,
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
        app_kwargs={"middleware": middleware},
        prevent_thread_lock=True,
    )
    return page
