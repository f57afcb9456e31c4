"""Who looks, and a service that goes and comes: the page goes on."""

from __future__ import annotations

from tests.page.waiting import expect


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
    page.keyboard.press("Escape")
    # the address that crystint printed will do as well
    page.get_by_label("Token").fill(f"{served.url}/#token={served.view_token}")
    page.keyboard.press("Enter")
    page.locator(".dv-dockview").first.wait_for()
    page.get_by_text("view only").wait_for()
    context.close()


def test_a_session_that_ends_is_asked_for_again_and_all_goes_on(served, open_page):
    page = open_page(served, allowed=("401", "WebSocket"))
    page.get_by_text("idle").first.wait_for()
    page.context.clear_cookies()
    dialog = page.get_by_role("dialog", name="Open crystint")
    dialog.wait_for()
    expect(dialog).to_contain_text("session has ended", use_inner_text=True)
    dialog.get_by_label("Token").fill(served.token)
    dialog.get_by_role("button", name="Open").click()
    dialog.wait_for(state="detached")
    with page.expect_response(lambda response: response.url.endswith("/api/v1/status")) as asked:
        pass
    assert asked.value.status == 200
    expect(page.locator(".messages")).to_have_attribute("data-loudness", "none")


def test_a_service_that_goes_and_comes_is_told_once(served, open_page):
    page = open_page(served, allowed=("ERR_FAILED", "WebSocket"))
    page.get_by_text("idle").first.wait_for()
    page.route("**/api/v1/**", lambda route: route.abort())
    message = page.locator(".messages > .message")
    message.get_by_text("does not answer").or_(message).first.wait_for()
    page.wait_for_function("() => document.querySelector('.messages').dataset.loudness === 'error'")
    expect(message).to_contain_text("does not answer", use_inner_text=True)
    expect(message).not_to_contain_text("×", use_inner_text=True)
    page.get_by_text("no answer").first.wait_for()
    page.unroute("**/api/v1/**")
    page.evaluate("() => window.dispatchEvent(new Event('online'))")
    page.get_by_text("The service answers again.").wait_for()
    expect(page.locator(".state")).to_have_text("idle", use_inner_text=True)


def test_a_page_of_the_version_before_asks_to_be_loaded_again(served, open_page):
    page = open_page(served, allowed=("ERR_FAILED", "WebSocket"))
    page.get_by_text("idle").first.wait_for()
    page.route("**/api/v1/**", lambda route: route.abort())
    page.locator(".messages[data-loudness=error]").wait_for()
    other = '<script type="module" src="static/main-000000000000.js"></script>'
    page.route(f"{served.url}/", lambda route: route.fulfill(body=other, content_type="text/html"))
    page.unroute("**/api/v1/**")
    page.evaluate("() => window.dispatchEvent(new Event('online'))")
    page.get_by_text("crystint was updated").first.wait_for()
    page.unroute(f"{served.url}/")
    with page.expect_navigation():
        page.get_by_role("button", name="Reload").click()
    page.locator(".dv-dockview").first.wait_for()


def test_a_hidden_page_asks_for_nothing(served, open_page):
    page = open_page(served)
    page.get_by_text("idle").first.wait_for()
    page.evaluate("() => Object.defineProperty(document, 'hidden', {get: () => window.away, configurable: true})")
    page.evaluate("() => (window.away = true)")
    page.wait_for_timeout(1200)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(2500)
    assert [each for each in asked if each.endswith("/status")] == []
    page.evaluate("() => { window.away = false; document.dispatchEvent(new Event('visibilitychange')); }")
    with page.expect_request("**/api/v1/status"):
        pass
