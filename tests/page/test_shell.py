"""The page begins: session, desk, files of the page."""

from __future__ import annotations

from crystint.online.page import page_files


def test_a_token_becomes_a_cookie_and_leaves_the_address(served, open_page):
    page = open_page(served)
    assert "token" not in page.url
    cookies = page.context.cookies()
    assert len(cookies) == 1
    assert cookies[0]["httpOnly"]
    assert cookies[0]["sameSite"] == "Strict"
    page.reload()
    page.locator(".dv-dockview").first.wait_for()


def test_without_a_token_one_is_asked_for(served, browser):
    context = browser.new_context()
    page = context.new_page()
    page.goto(served.url)
    page.get_by_label("Token").fill("x" * 30)
    page.keyboard.press("Enter")
    page.get_by_text("That token is not known.").wait_for()
    page.get_by_label("Token").fill(served.view_token)
    page.keyboard.press("Enter")
    page.locator(".dv-dockview").first.wait_for()
    context.close()


def test_files_are_sent_packed_and_kept_by_the_browser(served):
    for name in page_files():
        path = "/" if name == "index.html" else f"/static/{name}"
        plain = served.ask("GET", path, headers={"Accept-Encoding": "identity"})
        packed = served.ask("GET", path, headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.content == plain.content
        assert ("immutable" in plain.headers["cache-control"]) == (name != "index.html")
        assert "script-src 'self'" in plain.headers["content-security-policy"]
    for wrong in ("/static/../page.py", "/static/index.html", "/static/main-000000000000.js", "/static/%2e%2e/page.py"):
        assert served.ask("GET", wrong).status_code == 404
