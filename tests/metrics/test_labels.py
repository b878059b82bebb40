"""What clients type cannot grow the metrics."""

from tests.metrics.stories import GPT, account, attempt, new_books, series, total, value

from tristar.metrics.labels import CAP


def test_five_thousand_random_names_stay_under_the_cap() -> None:
    """Paths beyond the cap and models that never answered share `_other`; each is counted as overflow."""
    books = new_books()
    for number in range(5000):
        name = f"typo-{number}"
        unknown = attempt(
            llm_id=f"openai/{name}",
            model=name,
            status="error",
            error_type="bad_request",
            tokens_source="none",
        )
        books.count(account([unknown], endpoint=f"/random/{number}", status=404))
    endpoints = {has["endpoint"] for has in series(books, "ailinux_request_count")}
    models = {has["model"] for has in series(books, "ailinux_llm_calls_total")}
    overflow = {"metric": "ailinux_llm_calls_total", "label": "model"}

    assert len(endpoints) <= CAP + 1
    assert models == {GPT[0], "_other"}
    assert value(books, "ailinux_metrics_label_overflow_total", overflow) == 5000
    assert total(books, "ailinux_metrics_label_overflow_total", label="endpoint") >= 4800
    assert total(books, "ailinux_request_count") == 5000


def test_a_model_that_answered_earns_its_name() -> None:
    """Open providers serve models that no file names; one success makes one known."""
    books = new_books()
    story = {"llm_id": "openai/o5", "model": "o5"}
    books.count(account([attempt(**story, status="error", error_type="timeout")]))
    books.count(account([attempt(**story)]))
    books.count(account([attempt(**story, status="error", error_type="timeout")]))
    earned = {"model": "o5", "provider": "openai"}

    assert value(books, "ailinux_llm_calls_total", {**earned, "status": "success"}) == 1
    assert value(books, "ailinux_llm_calls_total", {**earned, "status": "error"}) == 1
    assert total(books, "ailinux_llm_calls_total", model="_other", status="error") == 1


def test_models_that_answer_are_capped_too() -> None:
    """An upstream that says yes to any name cannot mint series without end."""
    books = new_books()
    for number in range(CAP + 50):
        books.count(account([attempt(llm_id=f"openai/m{number}", model=f"m{number}")]))
    models = {has["model"] for has in series(books, "ailinux_llm_calls_total")}

    assert len(models) == CAP + 2
    assert total(books, "ailinux_llm_calls_total", model="_other") == 50


def test_a_name_too_long_to_be_one_is_other() -> None:
    """A label is not a place to store things."""
    books = new_books()
    long = "m" * 10_000
    books.count(account([attempt(llm_id=f"openai/{long}", model=long)], endpoint="/" + long))

    assert total(books, "ailinux_llm_calls_total", model="_other") == 1
    assert total(books, "ailinux_request_count", endpoint="_other") == 1


def test_configured_names_are_beyond_the_cap() -> None:
    """They come from the operator: a thousand llms are a thousand names."""
    pairs = [(f"m{number}", "p") for number in range(1000)]
    books = new_books(models=pairs, llm_ids=[model for model, _ in pairs])
    books.watch(breaker_states=lambda: dict.fromkeys((model for model, _ in pairs), 0))

    assert len({has["model"] for has in series(books, "ailinux_llm_calls_total")}) == 1000
    assert len(series(books, "ailinux_circuit_breaker_state")) == 1000


def test_a_method_that_nobody_knows_is_other() -> None:
    """HTTP allows any word as a method."""
    books = new_books()
    books.count(account(method="BREW"))

    assert total(books, "ailinux_request_count", method="_OTHER") == 1


def test_an_unlisted_error_type_is_other() -> None:
    """The list of causes is closed."""
    books = new_books()
    books.count(account([attempt(status="error", error_type="gremlins")]))

    assert total(books, "ailinux_llm_errors_total", error_type="_other") == 1


def test_breakers_of_strangers_share_one_series_that_shows_the_worst() -> None:
    """An open one among them must not be hidden by a closed one."""
    books = new_books(llm_ids=["fast"])
    states = {"fast": 0, "openai/a": 2, "openai/b": 1, "openai/c": 0}
    books.watch(breaker_states=lambda: states)

    assert value(books, "ailinux_circuit_breaker_state", {"llm_id": "_other"}) == 1
    assert value(books, "ailinux_circuit_breaker_state", {"llm_id": "fast"}) == 0


def test_reading_breakers_of_strangers_is_no_overflow() -> None:
    """Only events count; otherwise every scrape would add to it."""
    books = new_books(llm_ids=["fast"])
    books.watch(breaker_states=lambda: {"openai/a": 0}, llm_in_flight=lambda: {("a", "openai"): 1})
    books.render(None)

    assert total(books, "ailinux_metrics_label_overflow_total") == 0
    assert value(books, "ailinux_llm_in_flight", {"model": "_other", "provider": "openai"}) == 1


def test_without_llm_ids_the_first_breakers_show() -> None:
    """An embedder that names no llm_ids still sees its breakers, up to the cap."""
    books = new_books(llm_ids=None)
    books.watch(breaker_states=lambda: {f"m{number}": 1 for number in range(CAP + 10)})

    assert len(series(books, "ailinux_circuit_breaker_state")) == CAP + 1
