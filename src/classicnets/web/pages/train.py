"""Train: a network, data and a recipe are chosen, estimated, and started as `classicnets train`."""

from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from nicegui import app, ui
from starlette.requests import Request

from classicnets.api.listed import listed
from classicnets.web.shell import computed, failed, frame
from classicnets.web.texts import Text
from classicnets.web.workspace import Workspace

EVERY = 2.0  # seconds after which the next training that waits may begin
# heading, option of train, smallest value
NUMBERS = (
    ("epochs", "epochs", 1),
    ("learning rate", "lr", None),
    ("batch size", "batch-size", 1),
    ("seed", "seed", 0),
)


def declare(workspace: Workspace) -> None:
    """The address of this page, and the queue."""
    app.timer(EVERY, workspace.begin_next)

    @ui.page("/train")
    def train(request: Request, network: str = "lenet5") -> None:
        with frame(request, "Train") as t:
            ui.label(t("Train")).classes("text-h5")
            form = _Form.drawn(t, workspace, network)
            below = ui.column().classes("w-full")

            async def estimate() -> None:
                below.clear()
                with below:
                    try:
                        plan = await computed(lambda: _plan(form, workspace))
                    except (ValueError, OSError) as error:
                        failed(t, error)
                    else:
                        ui.label(str(plan)).classes("mono w-full text-caption")

            async def start() -> None:
                below.clear()
                with below:
                    try:
                        name = await computed(lambda: _start(form, workspace))
                    except (ValueError, OSError) as error:
                        failed(t, error)
                    else:
                        ui.navigate.to(f"/run/{quote(name)}")

            with ui.row():
                ui.button(t("Estimate"), on_click=estimate).props("outline no-caps")
                ui.button(t("Start"), on_click=start).props("no-caps")
            _waiting(t, workspace)


@dataclass(frozen=True)
class _Form:
    """The fields of the page."""

    network: Any
    data: Any
    recipe: Any
    numbers: dict[str, Any]

    @classmethod
    def drawn(cls, t: Text, workspace: Workspace, network: str) -> "_Form":
        names = [*workspace.design_names(), *(row["name"] for row in listed())]
        recipes = {"": t("the paper's"), "fast": t("fast (modern)")}
        with ui.row().classes("gap-4 w-full"):
            return cls(
                ui.select(
                    names,
                    value=network if network in names else "lenet5",
                    label=t("network"),
                    with_input=True,
                ).classes("w-64"),
                ui.select(workspace.data_names(), value="digits", label=t("data")).classes("w-64"),
                ui.select(recipes, value="", label=t("recipe")).classes("w-48"),
                {
                    option: ui.number(
                        t(heading),
                        min=least,
                        value=0 if option == "seed" else None,
                        placeholder=t("the recipe's own"),
                    )
                    .props("clearable stack-label")
                    .classes("w-48")
                    for heading, option, least in NUMBERS
                },
            )

    def given(self) -> dict[str, str]:
        """Option -> value, of the numbers that are not the recipe's own."""
        return {
            name: f"{each.value:g}" for name, each in self.numbers.items() if each.value is not None
        }


def _plan(form: _Form, workspace: Workspace) -> object:
    import classicnets as cn

    given = form.given()
    return cn.plan(
        workspace.network(form.network.value),
        workspace.dataset(form.data.value),
        recipe=form.recipe.value or None,
        epochs=int(given["epochs"]) if "epochs" in given else None,
        batch=int(given["batch-size"]) if "batch-size" in given else None,
    )


def _start(form: _Form, workspace: Workspace) -> str:
    """Queues the training, and returns the name of its run."""
    import classicnets as cn

    network, data = str(form.network.value), str(form.data.value)
    cn.find(workspace.network(network))  # or what is wrong with it is said here
    name = workspace.free_name(network, data)
    options = {"data": workspace.dataset(data), "out": f"runs/{name}", "recipe": form.recipe.value}
    words = [f"--{key}={value}" for key, value in (options | form.given()).items() if value]
    workspace.queue(name, ["train", workspace.network(network), *words])
    return name


def _waiting(t: Text, workspace: Workspace) -> None:
    """The trainings that wait."""

    @ui.refreshable
    def queue() -> None:
        jobs = workspace.waiting()
        if jobs:
            ui.label(t("Waiting")).classes("text-h6")
        for job in jobs:
            with ui.row().classes("items-center"):
                ui.link(job["name"], f"/run/{quote(job['name'])}")
                ui.button(t("withdraw"), on_click=partial(workspace.withdraw, job["name"])).props(
                    "flat dense no-caps"
                )

    queue()
    ui.timer(EVERY, queue.refresh)
