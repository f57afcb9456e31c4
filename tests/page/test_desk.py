"""Log, notes, alarms, settings, status, exports: with mouse and keyboard, and numbers that are those of the API."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from crystint.stream import SeriesKey
from tests.online.streams import frames_of
from tests.page.waiting import expect

KEY = SeriesKey(1, "a")
HERE = "series/1-a/image/2"


@pytest.fixture(scope="module")
def sent(served):
    """A series of five images that runs, and its frames."""
    frames = frames_of(count=8)
    served.send(frames, part=slice(0, 6))
    return frames


def panel(page, title):
    """Bring a panel to the front."""
    page.locator(".dv-tab").get_by_text(title, exact=True).first.click()


def events(served, name):
    return [
        each for each in served.json("/api/v1/events", headers={"Accept": "application/json"}) if each["name"] == name
    ]


def until(condition, page):
    """Wait for something outside of the page."""
    for _ in range(200):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it did not come to be")


def test_the_log_has_every_event_and_finds_them(served, sent, open_page):
    page = open_page(served, HERE)
    panel(page, "Log")
    rows = page.locator(".log-row")
    told = served.json("/api/v1/events", headers={"Accept": "application/json"})
    page.locator(f".log-row[data-number='{told[-1]['number']}']").wait_for()
    assert rows.evaluate_all("rows => rows.map(row => +row.dataset.number)") == [
        each["number"] for each in reversed(told)
    ]
    served.ask("POST", "/api/v1/notes", json={"text": "the shutter <b>sticks</b>", "image": 3})
    note = page.locator(".log-row[data-kind='note']").first
    note.wait_for()
    expect(note.locator(".words")).to_have_text("the shutter <b>sticks</b>", use_inner_text=True)
    search = page.get_by_label("Search", exact=True)
    search.click()
    page.keyboard.type("SHUTTER sticks")
    until(lambda: rows.count() == 1, page)
    search.fill("nothing like that")
    page.get_by_text("Nothing to show").wait_for()
    search.fill("")
    page.get_by_role("button", name="notes", exact=True).click()
    until(lambda: page.locator(".log-row[data-kind='note']").count() == 0, page)
    page.get_by_role("button", name="notes", exact=True).click()
    page.get_by_role("button", name="Pause").click()
    before = rows.count()
    served.ask("POST", "/api/v1/notes", json={"text": "while it stands still"})
    page.get_by_text("paused, 1 new").wait_for()
    expect(rows).to_have_count(before)
    page.get_by_role("button", name="Pause").click()
    page.locator(".log-row .words").get_by_text("while it stands still").wait_for()
    page.get_by_role("button", name="image 3").click()
    until(lambda: "image/3" in page.url, page)


def test_a_note_is_written_by_the_keyboard(served, sent, open_page):
    page = open_page(served, HERE)
    page.locator("body").click(position={"x": 5, "y": 5})
    page.keyboard.press("n")
    until(lambda: page.evaluate("document.activeElement.hasAttribute('data-note')"), page)
    text = 'crystal 4 "moved"; <img src=x onerror="window.bad=1"> \u05d0\u05d1'
    page.keyboard.insert_text(text)
    page.keyboard.press("Control+Enter")
    page.locator(".log-row .words").get_by_text("crystal 4").wait_for()
    note = events(served, "note")[-1]
    assert note["data"] == {"text": text, "image": 2, "series": "1-a"}
    expect(page.locator(".log-row img")).to_have_count(0)
    assert page.evaluate("window.bad") is None
    page.get_by_label("about image 2").uncheck()
    page.keyboard.press("Tab")
    page.get_by_label("Write a note").fill("no image")
    page.get_by_role("button", name="Add note").click()
    until(lambda: "image" not in events(served, "note")[-1]["data"], page)


def test_an_alarm_is_made_trips_is_seen_and_is_removed(served, sent, open_page):
    served.ask("PUT", "/api/v1/alarms", json={"alarms": []})
    page = open_page(served, HERE, allowed=("400",))
    panel(page, "Alarms")
    page.get_by_role("button", name="New alarm").click()
    page.keyboard.type("few spots")
    page.get_by_label("Column", exact=True).fill("n_spot")
    page.get_by_label("Limit", exact=True).fill("1000")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("1 to 64 of A-Z").wait_for()
    page.get_by_label("Name", exact=True).fill("few-spots")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("did you mean n_spots?").wait_for()
    assert page.evaluate("document.activeElement.id") == "alarm-column"
    page.get_by_label("Column", exact=True).fill("n_spots")
    page.keyboard.press("Enter")
    item = page.locator(".alarm-item[data-name='few-spots']")
    item.wait_for()
    document = served.json("/api/v1/alarms")["document"]["alarms"]
    assert document == [
        {"name": "few-spots", "column": "n_spots", "roi": None, "below": 1000.0, "above": None, "over": 1, "hold": 0.0,
         "margin": None},
    ]  # fmt: skip
    for message in list(_messages(sent))[6:7]:
        served.service.take(message)
    page.locator(".alarm-item[data-state='tripped']").wait_for()
    page.locator("#top").get_by_role("button", name="few-spots").wait_for()
    state = served.json("/api/v1/alarms")["states"][0]
    expect(item.locator(".number")).to_have_text(f"now {state['value']:g}", use_inner_text=True)
    assert "few-spots" in page.locator("p.hidden-words[role=alert]").last.text_content()
    event = events(served, "alarm")[-1]
    assert (event["data"]["state"], event["data"]["image"], event["data"]["series"]) == ("tripped", 5, "1-a")
    panel(page, "Log")
    page.locator(".log-row.bad .words").get_by_text("few-spots: n_spots").first.wait_for()
    panel(page, "Alarms")
    sound = page.get_by_role("button", name="Sound")
    expect(sound).to_have_attribute("aria-pressed", "false")
    sound.focus()
    page.keyboard.press("Enter")
    expect(sound).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Remove few-spots").click()
    page.get_by_text("No alarm watches").wait_for()
    assert served.json("/api/v1/alarms")["document"]["alarms"] == []
    until(lambda: events(served, "alarm")[-1]["data"]["state"] == "cleared", page)
    until(lambda: page.locator("#top .alarm-badge").count() == 0, page)


def test_two_pages_that_change_alarms_are_told_of_each_other(served, sent, open_page):
    served.ask("PUT", "/api/v1/alarms", json={"alarms": []})
    page = open_page(served, allowed=("412",))
    panel(page, "Alarms")
    page.get_by_role("button", name="New alarm").click()
    page.keyboard.type("mine")
    page.get_by_label("Limit", exact=True).fill("0.1")
    theirs = {"name": "theirs", "column": "d_min", "above": 3.0}
    assert served.ask("PUT", "/api/v1/alarms", json={"alarms": [theirs]}).status_code == 200
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Somebody else changed the alarms").wait_for()
    page.get_by_role("button", name="Save").click()
    page.locator(".alarm-item[data-name='mine']").wait_for()
    names = [each["name"] for each in served.json("/api/v1/alarms")["document"]["alarms"]]
    assert names == ["theirs", "mine"]
    served.ask("PUT", "/api/v1/alarms", json={"alarms": []})


def test_settings_are_checked_while_one_types_and_applied_from_an_image_on(served, sent, open_page):
    page = open_page(served, allowed=("400", "412"))
    panel(page, "Settings")
    snr = page.locator("#setting-snr")
    snr.wait_for()
    before = served.json("/api/v1/settings")
    until(lambda: snr.input_value() == f"{before['values']['snr']:g}", page)
    apply = page.locator("button[form='run-settings']")
    expect(apply).to_be_disabled()
    snr.fill("")
    snr.press_sequentially("abc")
    page.locator("#setting-snr-trouble").get_by_text("expected a number").wait_for()
    expect(snr).to_have_attribute("aria-invalid", "true")
    snr.fill("-3")
    page.locator("#setting-snr-trouble").get_by_text("above 0").wait_for()
    snr.fill("0.5")
    page.get_by_text("above snr = 0.5").first.wait_for()  # which the service alone says
    expect(apply).to_be_disabled()
    assert served.json("/api/v1/settings") == before, "what is typed is only checked"
    snr.fill("6.5")
    page.locator("#setting-hit_peaks").fill("7")
    until(lambda: apply.inner_text() == "Apply 2 changes", page)
    snr.press("Enter")
    page.get_by_text("Applied from image").wait_for()
    after = served.json("/api/v1/settings")
    assert (after["values"]["snr"], after["values"]["hit_peaks"]) == (6.5, 7)
    assert after["revision"] == before["revision"] + 1
    first = events(served, "settings")[-1]["data"]["first_image"]
    expect(page.get_by_text(f"Applied from image {first} on, as version {after['version']}.")).to_be_visible()
    snr.fill("4.5")
    changed = {"snr": 8.0, "sampling": 2}
    assert served.ask("PATCH", "/api/v1/settings", json=changed).status_code == 200
    page.get_by_text("Somebody else changed the settings meanwhile").wait_for()
    apply.click()
    page.get_by_text("snr: theirs 8, yours 4.5").wait_for()
    page.get_by_text("sampling: now 2").wait_for()
    expect(snr).to_have_value("4.5")
    expect(page.locator("#setting-sampling")).to_have_value("2")
    apply.click()
    page.get_by_text("Applied from image").wait_for()
    values = served.json("/api/v1/settings")["values"]
    assert (values["snr"], values["sampling"]) == (4.5, 2)
    served.ask("PATCH", "/api/v1/settings", json={"snr": 5.0, "sampling": 1, "hit_peaks": 3})


def test_the_status_has_the_numbers_of_the_api(served, sent, open_page):
    page = open_page(served)
    panel(page, "Status")
    books = served.json("/api/v1/status")["series"]["books"]
    fact = page.locator("[data-fact='received']")
    until(lambda: fact.inner_text() == str(books["received"]), page)
    for name in ("expected", "analysed", "skipped", "failed", "in_flight", "duplicate", "late"):
        expect(page.locator(f"[data-fact='{name}']")).to_have_text(str(books[name]), use_inner_text=True)
    expect(page.locator("[data-fact='missing']")).to_have_text("–", use_inner_text=True)
    expect(page.locator("[data-fact='series']")).to_have_text("1-a", use_inner_text=True)
    progress = page.locator("progress[aria-label^='Share']").evaluate("each => each.value")
    assert progress == pytest.approx(books["received"] / books["expected"])


def test_who_may_look_sees_why_nothing_can_be_changed(served, sent, open_page):
    page = open_page(served, HERE, token=served.view_token)
    panel(page, "Status")
    for name in ("Stop", "Abort", "Arm"):
        control = page.get_by_role("button", name=name, exact=True)
        expect(control).to_be_disabled()
        assert "may look" in control.get_attribute("title")
    panel(page, "Alarms")
    expect(page.get_by_role("button", name="New alarm")).to_be_disabled()
    panel(page, "Log")
    expect(page.get_by_label("Write a note")).to_be_disabled()
    panel(page, "Settings")
    page.locator("#setting-snr").wait_for()
    until(lambda: page.locator("#setting-snr").is_disabled(), page)


def saved(page, name):
    """What an entry of the menu gives."""
    with page.expect_download() as download:
        page.locator("body").click(position={"x": 5, "y": 5})
        page.keyboard.press("e")
        page.get_by_role("menuitem", name=name).click()
    path = download.value.path()
    return download.value.suggested_filename, path.read_bytes()


def table(content):
    lines = list(csv.reader(io.StringIO(content.decode())))
    return lines[0], lines[1:]


def test_what_is_exported_is_what_the_service_has(served, sent, open_page):
    import PIL.Image
    import tifffile

    page = open_page(served, HERE)
    name, content = saved(page, "Counts")
    assert name == "1-a_image_2.tif"
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(content)), sent[2])
    name, content = saved(page, "Picture as it is shown")
    assert (name, content[:8]) == ("1-a_image_2.png", b"\x89PNG\r\n\x1a\n")
    colors = np.asarray(PIL.Image.open(io.BytesIO(content)).convert("RGB"))
    box = page.locator(".image-area").bounding_box()
    assert colors.shape[1] >= int(box["width"]) - 1
    assert colors.shape[0] > int(box["height"]), "with a caption below"
    assert len(np.unique(colors.reshape(-1, 3), axis=0)) > 10
    name, content = saved(page, "Spots")
    head, rows = table(content)
    spots = served.json("/api/v1/images/2/spots?series=1-a")["spots"]
    assert name == "1-a_image_2_spots.csv"
    assert [float(row[head.index("slow [px]")]) for row in rows] == spots["slow"]
    assert [float(row[head.index("intensity [count]")]) for row in rows] == spots["intensity"]
    name, content = saved(page, "Results of all images")
    head, rows = table(content)
    answer = served.json("/api/v1/results?series=1-a")
    assert name == "1-a_results.csv"
    for column in ("n_spots", "background", "total_intensity", "score"):
        place = next(n for n, each in enumerate(head) if each.split(" [")[0] == column)
        wanted = answer["columns"][column]
        assert [None if row[place] == "" else float(row[place]) for row in rows] == wanted
        assert head[place] == column + (f" [{answer['units'][column]}]" if answer["units"].get(column) else "")
    name, content = saved(page, "Log")
    head, rows = table(content)
    assert head[:3] == ["number", "time [UTC]", "kind"]
    assert [int(row[0]) for row in rows] == [
        each["number"] for each in served.json("/api/v1/events", headers={"Accept": "application/json"})
    ]


def test_the_series_is_stopped_when_that_is_confirmed(served, sent, open_page):
    page = open_page(served, allowed=("400",))
    panel(page, "Status")
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert served.json("/api/v1/status")["state"] == "measuring"
    page.get_by_role("button", name="Abort", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Abort").click()
    until(lambda: served.json("/api/v1/status")["state"] == "idle", page)
    page.locator("[data-fact='phase']").get_by_text("aborted").wait_for()
    for name in ("Stop", "Abort"):  # nothing is there to be stopped
        expect(page.get_by_role("button", name=name, exact=True)).to_be_disabled()
    page.get_by_label("Prefix of the files").fill("../up")
    page.get_by_role("button", name="Arm", exact=True).click()
    page.get_by_text("expected one inside the folder of the outputs").wait_for()
    page.get_by_label("Prefix of the files").fill("lysozyme/run_7")
    page.get_by_text("Raster").click()
    page.get_by_label("Columns", exact=True).fill("20")
    page.get_by_label("Every second line backwards").check()
    page.get_by_role("button", name="Arm", exact=True).click()
    page.get_by_text("The next series is taken with this.").wait_for()
    asked = served.service.reception.asked
    assert (asked["prefix"], asked["grid"]["n_fast"], asked["grid"]["snake"]) == ("lysozyme/run_7", 20, True)
    served.ask("POST", "/api/v1/abort")


def _messages(frames):
    from tests.online.streams import messages_of

    return messages_of(frames)
