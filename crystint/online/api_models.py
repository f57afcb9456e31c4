"""What the web interface takes and gives: the models that its OpenAPI document is made of.

Requests are checked by them. Answers are made without them, since a snapshot must not wait for a check; tests compare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema, create_model

from crystint.errors import RefusedError
from crystint.online.job_offers import OFFERS
from crystint.online.output_names import checked_prefix
from crystint.online.settings import CHANGEABLE, AnalysisSettings

__all__ = [
    "AlarmDocument",
    "AlarmsModel",
    "AppliedModel",
    "BooksModel",
    "CrystfelModel",
    "ErrorModel",
    "EventModel",
    "GridMapModel",
    "GridSpec",
    "HeldModel",
    "JobModel",
    "JobPeaksModel",
    "JobReportModel",
    "JobRequest",
    "JobTableModel",
    "LayoutModel",
    "LayoutsModel",
    "MaskByPath",
    "MaskByShapes",
    "MaskSummary",
    "NoteModel",
    "NoteRequest",
    "OfferModel",
    "PlotModel",
    "ResultsModel",
    "RoiDocument",
    "RoisModel",
    "SeriesModel",
    "SessionModel",
    "SessionRequest",
    "SettingsChange",
    "SettingsModel",
    "StartGeometry",
    "StartRequest",
    "StatusModel",
    "TryModel",
]

Reason = Literal[
    "wrong_state", "bad_value", "not_found", "conflict", "too_large", "unauthorized", "forbidden", "busy", "internal"
]
State = Literal["idle", "arming", "measuring", "finishing", "error"]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Number = float | None
"""null = not known"""


def _offered(value: str) -> str:
    if value not in OFFERS:
        raise ValueError(f"is {value[:60]!r}, expected one of {', '.join(OFFERS)}")
    return value


def _prefix(value: str) -> str:
    try:
        return checked_prefix(value)
    except RefusedError as error:
        raise ValueError(str(error)) from None


class Closed(BaseModel):
    """A map without other keys than these."""

    model_config = ConfigDict(extra="forbid")


class ErrorModel(Closed):
    """Why something was not done."""

    reason: Reason
    msg: str = Field(description="one sentence: what is wrong, what was expected")
    field: str | None = Field(description="of the request, that it is about")


class BooksModel(Closed):
    """received = analysed + skipped + failed + in_flight, always; expected = received + missing, at the end."""

    expected: int | None
    received: int
    analysed: int
    skipped: int
    failed: int
    in_flight: int
    missing: int | None = Field(description="null before the end")
    duplicate: int
    differing: int
    late: int
    foreign: int
    damaged: int
    second_ends: int
    last: int = Field(description="highest number of an image that came; -1 = none did")
    dropped: int | None = Field(description="by the detector, as it says; null = it was not asked")
    ended: bool


class SeriesModel(BaseModel):
    """A series: what lies between a start and an end."""

    series: str = Field(description="its key: id and unique_id, as text")
    id: int
    unique_id: str
    name: str = Field(description="of its outputs")
    phase: str
    reason: str
    started: int | None = Field(description="ns since 1970-01-01 UTC, as the detector says")
    expected: int | None
    frame_time: Number = Field(description="s")
    shape: list[int] = Field(description="(slow, fast) px")
    geometry: dict[str, JsonValue] | None
    books: BooksModel
    missing: list[list[int]] = Field(description="ranges of images that never came, of a final series; 100 at most")
    error: str = Field(description="why its images are not looked at; empty = they are")
    files: list[str] = Field(description="that are closed")
    gridded: bool = Field(default=False, description="its images stand on a grid, of which there are maps")


class StatusModel(BaseModel):
    """The service at one moment."""

    state: State
    stalled: bool = Field(description="no message has come for long while images are expected")
    reason: str = Field(description="why it is in that state")
    revision: int = Field(description="one more with each change of the state")
    since: int = Field(description="ns since 1970-01-01 UTC")
    series: SeriesModel | None = Field(description="that runs, else the last one; null = there was none yet")
    rates: dict[str, dict[str, Number]] = Field(description="images per second: in, out, analysed over 1s and 10s")
    latency: dict[str, Number] = Field(description="s from a message to its result: p50, p99")
    queue: dict[str, JsonValue] = Field(description="images and bytes that wait, and the budget in bytes")
    messages: dict[str, JsonValue] = Field(description="that came, by what they were; silent = s since the last one")
    devices: list[dict[str, JsonValue]]
    sinks: dict[str, dict[str, JsonValue]] = Field(description="publishers and writers by name")
    viewers: int = Field(description="readers of events and images")
    version: str


class StartGeometry(Closed):
    """Where the detector is; what is left out is taken from the start message."""

    distance: Positive | None = Field(None, description="m")
    beam_center: tuple[Finite, Finite] | None = Field(None, description="(slow, fast), px from the outer corner")
    wavelength: Positive | None = Field(None, description="angstrom")
    pixel_size: tuple[Positive, Positive] | None = Field(None, description="(slow, fast), m")
    rotation: tuple[Finite, Finite, Finite] | None = Field(None, description="PONI rot1, rot2, rot3, rad")


class GridSpec(Closed):
    """A scan over positions of the sample."""

    n_fast: int = Field(ge=1, le=100_000, description="positions along the fast direction")
    n_slow: int | None = Field(None, ge=1, le=100_000, description="lines; null = as many as come")
    step_x_um: Finite = Field(1.0, description="from column to column; negative = it moves the other way")
    step_y_um: Finite = Field(1.0, description="from row to row")
    vertical: bool = Field(False, description="the fast direction is that of y")
    snake: bool = Field(False, description="every second line is measured backwards")


class StartRequest(Closed):
    """What the next series is called and what is known of it."""

    prefix: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_prefix)] | None = Field(
        None, description="of the outputs, relative to their folder"
    )
    images: int | None = Field(None, ge=1, le=10**12, description="that will come; null = as the detector says")
    geometry: StartGeometry | None = None
    grid: GridSpec | None = None
    user: dict[str, JsonValue] | None = Field(None, description="stored with the outputs")
    tokens: list[Annotated[str, Field(min_length=22, max_length=256, pattern=r"^[A-Za-z0-9_-]+$")]] | None = Field(
        None, max_length=64, description="further tokens that may look at the results, until the next start"
    )


class SettingsModel(Closed):
    """Settings that images are looked at with."""

    values: dict[str, JsonValue]
    version: int
    revision: int = Field(description="for If-Match")


def _without_default(schema: dict[str, Any]) -> None:
    """What is left out stays as it is."""
    schema.pop("default", None)


def _change_of_settings() -> type[BaseModel]:
    """A model of the settings that may change while images come, none of which must be there."""
    fields: dict[str, Any] = {}
    for name in CHANGEABLE:
        field = AnalysisSettings.model_fields[name]
        annotation: Any = field.annotation
        for each in field.metadata:
            annotation = Annotated[annotation, each]
        text = Field(field.default, description=field.description, json_schema_extra=_without_default)
        fields[name] = (annotation, text)
    made: type[BaseModel] = create_model("SettingsChange", __base__=Closed, __doc__="Settings to change.", **fields)
    return made


if TYPE_CHECKING:

    class SettingsChange(Closed):
        """Settings to change: those of `crystint.online.settings.CHANGEABLE`."""

else:
    SettingsChange = _change_of_settings()


class AppliedModel(Closed):
    """From which image on a change applies."""

    first_image: int = Field(description="of the series that runs; 0 = from the next one on")
    version: int = Field(description="that results name")
    revision: int = Field(description="for If-Match")
    details: dict[str, JsonValue] | None = Field(None, description="of regions: pixels, clipped; of dry_run: nothing")


class CrystfelModel(Closed):
    """What a user of CrystFEL needs."""

    geometry: str = Field(description="text of a .geom file")
    command: str
    address: str


RoiName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", max_length=64)]
Place = Annotated[list[Finite], Field(min_length=2, max_length=2, description="(slow, fast), px")]
Whole = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]


class BoxModel(Closed):
    """Pixels between two rows and two columns, both among them."""

    type: Literal["box"]
    slow_min: Whole
    slow_max: Whole
    fast_min: Whole
    fast_max: Whole


class CircleModel(Closed):
    """Pixels whose centre lies within the radius."""

    type: Literal["circle"]
    center: Place
    radius: Positive = Field(description="px")


class AzimuthalModel(Closed):
    """A ring or a sector of it: q_min <= q < q_max in 1/angstrom, or d in angstrom; phi in degrees, or none."""

    type: Literal["azimuthal"]
    q_min: Finite | None = None
    q_max: Finite | None = None
    d_min: Finite | None = None
    d_max: Finite | None = None
    phi_min_deg: Finite | None = None
    phi_max_deg: Finite | None = None


class PolygonModel(Closed):
    """Inside of the corners, by the rule of even and odd."""

    type: Literal["polygon"]
    corners: list[Place] = Field(min_length=3, max_length=1000)


class BitmapModel(Closed):
    """Pixels by their numbers, slow * width + fast, in half-open runs."""

    type: Literal["bitmap"]
    shape: list[int] = Field(min_length=2, max_length=2)
    runs: list[Annotated[list[int], Field(min_length=2, max_length=2)]]


def _shapes(*required: str, **fields: Any) -> dict[str, Any]:
    """JSON Schema of any of the types, with more fields. `crystint.model.rois` checks them, with better words."""
    types = (BoxModel, CircleModel, AzimuthalModel, PolygonModel, BitmapModel)
    named = [
        create_model(each.__name__, __base__=each, __doc__=each.__doc__, **fields).model_json_schema() for each in types
    ]
    return {"oneOf": [{**each, "required": [*required, *each["required"]]} for each in named]}


RoiModel = Annotated[dict[str, JsonValue], WithJsonSchema(_shapes("name", name=(RoiName | None, None)))]
"""A region, with its name"""
ShapeModel = Annotated[dict[str, JsonValue], WithJsonSchema(_shapes())]
"""A region without a name"""


class RoiDocument(Closed):
    """All regions. Each is a map with name and type; the page about regions has the parameters of every type."""

    rois: list[RoiModel] = Field(max_length=64)


class RoisModel(BaseModel):
    """All regions, as they are applied."""

    document: dict[str, JsonValue]
    version: int
    revision: int = Field(description="for If-Match")
    details: dict[str, JsonValue] | None = None


class MaskByPath(Closed):
    """A file of the server, below its data root."""

    path: str = Field(min_length=1, max_length=4096)
    dataset: str | None = Field(None, max_length=4096, description="path inside an HDF5 file")


class MaskByShapes(Closed):
    """Shapes that are masked: regions as in a document of regions, names may be left out."""

    shapes: list[ShapeModel] = Field(max_length=1000)
    how: Literal["replace", "add", "remove"] = Field(
        "replace", description="whether they are the user's mask, are added to it, or are taken out of it"
    )


class MaskSummary(Closed):
    """A layer of the mask in numbers."""

    layer: Literal["user", "detector", "total"]
    shape: list[int] = Field(description="(slow, fast)", min_length=2, max_length=2)
    masked: int = Field(description="pixels")
    bits: dict[str, int] = Field(description="pixels of each bit of the NXmx mask that is set somewhere")


class ResultsModel(BaseModel):
    """Results of a range of images. NaN is null, and whole numbers that are not known are -1."""

    series: str | None
    ended: bool
    total: int = Field(description="images that there are rows of; with hits or sort: rows that there are of these")
    next: int | None = Field(description="number to go on from; null = that was all, or rows are sorted")
    columns: dict[str, list[Any]]
    rois: dict[str, dict[str, list[Any]]] = Field(default_factory=dict)
    units: dict[str, str] = Field(default_factory=dict)


class CurveModel(Closed):
    """Points."""

    name: str
    x: list[Number]
    y: list[Number]


class PlotModel(BaseModel):
    """Curves, or with x=grid and for two-dimensional quantities a map: z[y][x]."""

    title: str
    unit_x: str
    unit_y: str
    bin: int = Field(1, description="images per point")
    images: list[int] | None = Field(None, description="number of the first image of each point")
    series: list[CurveModel] = Field(default_factory=list)
    x: list[Number] | None = None
    y: list[Number] | None = None
    z: list[list[Number]] | None = None


class BestCell(Closed):
    """Where a map is best."""

    column: int
    row: int
    image: int | None
    value: Number
    x: Number = Field(description="centre of mass of the 3 x 3 cells about it, um")
    y: Number = Field(description="um")


class GridOrderModel(Closed):
    """In which order the images of a grid scan were taken."""

    n_fast: int = Field(description="positions along the fast direction")
    vertical: bool = Field(description="the fast direction is that of y, so that columns are lines")
    snake: bool = Field(description="every second line was measured backwards")


class GridMapModel(Closed):
    """A quantity over the positions of a grid scan: z[row][column], null where nothing is known."""

    title: str
    unit: str
    x: list[Number] = Field(description="um")
    y: list[Number] = Field(description="um")
    z: list[list[Number]]
    best: BestCell | None
    outside: int = Field(description="images beyond the last position")
    order: GridOrderModel


class EventModel(Closed):
    """Something that happened."""

    number: int
    name: str
    time: int = Field(description="ns since 1970-01-01 UTC")
    data: dict[str, JsonValue]


class NoteRequest(Closed):
    """What somebody wants to have in the log."""

    text: str = Field(min_length=1, max_length=2000, description="line breaks are allowed, other control codes are not")
    image: int | None = Field(None, ge=0, le=2**62, description="number of the image that it is about")
    series: str | None = Field(None, max_length=300, description="null = that which runs")


class NoteModel(Closed):
    """A note, as it is in the log."""

    number: int = Field(description="of the event")
    time: int = Field(description="ns since 1970-01-01 UTC")
    series: str | None
    filed: bool = Field(description="the files of the series get it; else it is among the events alone")


class AlarmModel(Closed):
    """A column that is watched, and when it is wrong: below or above a limit."""

    name: RoiName
    column: str = Field(max_length=64, description="as /api/v1/plots has them, of one number each image")
    roi: RoiName | None = Field(None, description="of columns that begin with roi_")
    below: Finite | None = None
    above: Finite | None = None
    over: int = Field(1, ge=1, le=10_000, description="images of the mean that is compared")
    hold: float = Field(0.0, ge=0, le=86_400, description="s that it is wrong before the alarm trips, or right again")
    margin: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="within the limit, to clear the alarm; null = 5 % of the limit"
    )


class AlarmDocument(Closed):
    """All alarms."""

    alarms: list[AlarmModel] = Field(max_length=64)


class AlarmStateModel(Closed):
    """How an alarm is."""

    name: str
    state: Literal["waiting", "collecting", "no values", "ok", "tripped"]
    value: Number = Field(description="the last mean")
    image: int | None = Field(description="that it is of")
    since: int = Field(description="ns since 1970-01-01 UTC; 0 = no image came yet")
    images: int = Field(description="of those of the mean that came")
    text: str


class AlarmsModel(BaseModel):
    """All alarms, as they are watched."""

    document: AlarmDocument
    revision: int = Field(description="for If-Match")
    states: list[AlarmStateModel]
    columns: dict[str, str] = Field(description="that can be watched, and what they are")
    trouble: str = Field(description="why they are not watched, or cannot be told; empty = all is well")


class LayoutModel(Closed):
    """A layout of the page that is kept."""

    name: str
    revision: int = Field(description="for If-Match; 0 = it is damaged")
    saved: int = Field(description="ns since 1970-01-01 UTC")
    bytes: int


class LayoutsModel(Closed):
    """All of them."""

    layouts: list[LayoutModel]
    folder: str | None = Field(description="where they are kept")


class SessionRequest(Closed):
    """A token, to be exchanged for a cookie."""

    token: str = Field(min_length=1, max_length=512)


class SessionModel(Closed):
    """What a page may do, and what it looks at."""

    role: Literal["view", "control"] | None = Field(description="null = there is no session")
    source: Literal["stream", "files"] = Field(description="a detector's stream, or finished files alone")
    version: str


class HeldModel(Closed):
    """Images that are held."""

    series: str | None
    images: list[int] = Field(description="numbers, the oldest first")


class TryModel(Closed):
    """What an image has with other settings."""

    series: str
    image: int
    settings: dict[str, JsonValue]
    n_spots: int
    hit: bool
    expected_false_spots: Number
    d_min: Number = Field(description="angstrom")
    spots: dict[str, list[Number]] = Field(
        description="slow, fast (px), intensity, sigma (counts), npix, maximum, d (angstrom), flags, significance"
    )


_Command = Annotated[str, Field(json_schema_extra={"enum": list(OFFERS)}), AfterValidator(_offered)]
FileBelow = Annotated[str, Field(min_length=1, max_length=4096, description="below the data root")]


class InputModel(Closed):
    """A file, or several, that a command reads."""

    name: str
    meaning: str
    many: bool = Field(description="several files, or patterns, which make one sequence")
    required: bool
    kinds: list[str] = Field(description="of files that it may be")


class OfferModel(Closed):
    """A command that may be asked for as a job."""

    command: str
    title: str
    inputs: list[InputModel]
    outputs: list[str] = Field(description="suffixes of the files that it writes")
    results: list[Literal["peaks", "table", "report"]] = Field(description="that can be looked at")
    settings: dict[str, JsonValue] = Field(
        description="JSON schema, each property with title, group, option, metavar, advanced, and kinds of files"
    )


class JobRequest(Closed):
    """A command on finished files."""

    command: _Command
    run: FileBelow | None = Field(None, description="the file, where the command reads one alone")
    inputs: dict[str, FileBelow | Annotated[list[FileBelow], Field(max_length=1000)]] | None = Field(
        None, max_length=20, description="files of each input of the command"
    )
    settings: dict[str, JsonValue] = Field(
        default_factory=dict, max_length=200, description="of the command, by the names of its options"
    )
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", max_length=64)] | None = Field(
        None, description="stands in the names of the outputs"
    )


class ProgressModel(Closed):
    """How far a job is."""

    done: int
    total: int
    what: str


class JobModel(Closed):
    """A job, and how far it is."""

    id: int
    command: str
    name: str = Field(description="of its files in the folder jobs below the data root")
    inputs: dict[str, list[str]] = Field(description="below the data root")
    settings: dict[str, JsonValue]
    command_line: str = Field(description="that does the same, to paste into a shell")
    outputs: list[str] = Field(description="below the data root")
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    created: int = Field(description="ns since 1970-01-01 UTC")
    began: int | None
    ended: int | None
    code: int | None = Field(description="exit code of the command")
    progress: ProgressModel | None = Field(description="null = it has not told")
    error: str = Field(description="why it failed, where the log does not tell")
    results: list[Literal["peaks", "table", "report"]] = Field(description="that can be looked at now")
    log: list[str] = Field(description="its last lines")


class JobPeaksModel(Closed):
    """Peaks of a job."""

    job: int
    image: int | None
    frame: list[int] = Field(description="image of each peak")
    spots: dict[str, list[Number]] = Field(description="columns, as of a what-if")


class JobTableModel(Closed):
    """What a job tells of each image."""

    job: int
    names: list[str] = Field(description="of all columns that there are")
    columns: dict[str, list[Number]]


class JobReportModel(Closed):
    """What a job has to say."""

    job: int
    text: str
    numbers: JsonValue
