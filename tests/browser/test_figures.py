"""The console's arithmetic, in the browser that does it."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from tests.browser.visit import Visit
from tests.gateway import Gateway


@pytest.fixture(scope="module")
def world(echo: Gateway, browser: Browser) -> Iterator[Visit]:
    """A page in which the console's modules can be called."""
    visit = Visit.at(echo, browser).open()
    yield visit
    visit.page.context.close()
    visit.assert_clean()


def test_the_text_format_is_read_with_its_escapes(world: Visit) -> None:
    """Backslash, quote and newline in a label, a comma and a brace in it too; others are passed over."""
    text = 'm{a="q\\"\\\\n,}",b="x\\ny"} 3\nm 4e-05\nother 9\nm_more 8\nm{le="+Inf"} 2\n'
    samples = world.run(
        "const { parse } = await load('exposition.js'); return parse(argument, ['m']).get('m');", text
    )

    assert samples == [
        {"labels": {"a": 'q"\\n,}', "b": "x\ny"}, "value": 3},
        {"labels": {}, "value": 4e-05},
        {"labels": {"le": "+Inf"}, "value": 2},
    ]


@pytest.mark.parametrize(
    ("share", "histogram", "expected"),
    [
        (0.5, [[1, 0], [2, 10], [None, 10]], 1.5),
        (0.95, [[1, 90], [2, 100], [None, 100]], 1.5),
        (0.5, [[1, 10], [None, 10]], 0.5),
        (0.95, [[1, 1], [2, 1], [None, 10]], 2),
        (0.5, [[1, 0], [None, 0]], None),
        (0.5, [], None),
    ],
)
def test_quantiles_are_those_of_prometheus(
    world: Visit, share: float, histogram: list[list[float | None]], expected: float | None
) -> None:
    """Linear within a bucket, from 0 in the lowest, the highest finite bound beyond it."""
    script = "const { quantile } = await load('figures.js'); return quantile(...argument);"

    assert world.run(script, [share, histogram]) == expected


@pytest.mark.parametrize(
    ("values", "expected"), [([5, 7, 9], 4), ([5, 9, 2, 3], 7), ([5], 0), ([], 0), ([None, 4], 4)]
)
def test_a_counter_that_falls_was_restarted(
    world: Visit, values: list[float | None], expected: float
) -> None:
    """It began at 0 again; nothing is ever negative."""
    script = "const { increase } = await load('figures.js'); return increase(argument);"

    assert world.run(script, values) == expected


def test_buckets_after_a_restart_count_from_nothing(world: Visit) -> None:
    """All of them at once."""
    script = "const { bucketIncrease } = await load('figures.js'); return bucketIncrease(argument);"
    before, after = [[1, 5], [None, 9]], [[1, 6], [None, 7]]

    assert world.run(script, [before, after, [[1, 8], [None, 9]]]) == [[1, 8], [None, 9]]


def test_an_llm_is_joined_to_the_figures_of_its_upstream_name(world: Visit) -> None:
    """By the name that the list tells, else by its own; what belongs to none has a row of its own."""
    script = """
      const { rows } = await load('llms.js'); const { pairKey } = await load('reading.js');
      const figures = Object.fromEntries(argument.pairs.map(([model, provider], index) =>
        [pairKey(model, provider), { calls: index + 1, errors: 0, p95: 1 }]));
      return rows(argument.models, argument.breakers, figures)
        .map((row) => [row.name, row.model, row.provider, row.breaker, row.calls, row.shared]);
    """
    models = [
        {"id": "fast", "owned_by": "acme", "upstream_model": "m-1"},
        {"id": "twin", "owned_by": "acme", "upstream_model": "m-1"},
        {"id": "own", "owned_by": "acme"},
        {"id": "idle", "owned_by": "acme", "upstream_model": "none"},
    ]
    pairs = [["m-1", "acme"], ["own", "acme"], ["m-1", "other"]]

    assert world.run(script, {"models": models, "breakers": {"fast": 1}, "pairs": pairs}) == [
        ["fast", "m-1", "acme", 1, 1, ["twin"]],
        ["idle", None, None, None, None, []],
        ["own", "own", "acme", None, 2, []],
        ["twin", "m-1", "acme", None, 1, ["fast"]],
        [None, "m-1", "other", None, 3, []],
    ]


def test_events_are_whole_however_the_stream_is_cut(world: Visit) -> None:
    """A character or a line end may lie across two pieces; comments are no data."""
    script = """
      const { events } = await load('playground.js');
      const bytes = new TextEncoder().encode(argument);
      const found = [];
      for (const size of [1, 2, 3, 7, 1000]) {
        const body = new ReadableStream({ start(stream) {
          for (let at = 0; at < bytes.length; at += size) stream.enqueue(bytes.slice(at, at + size));
          stream.close();
        } });
        const all = [];
        for await (const event of events(body)) all.push(event);
        found.push(all);
      }
      return found;
    """

    stream = ': hi\n\ndata: {"a":"ä€"}\r\n\r\nevent: x\ndata: b\n\ndata: [DONE]\n\n'

    assert world.run(script, stream) == [['{"a":"ä€"}', "b", "[DONE]"]] * 5


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", ["\N{EN DASH}", "0", "0.25", "12.3", "1,234", "0.4%", "100%", "3.6 ms", "95 ms", "1.50 s"]),
        ("de", ["\N{EN DASH}", "0", "0,25", "12,3", "1.234", "0,4 %", "100 %", "3,6 ms", "95 ms", "1,50 s"]),
    ],
)
def test_numbers_are_written_as_the_language_does(world: Visit, language: str, expected: list[str]) -> None:
    """About three digits that matter, and a dash for what is not known."""
    script = """
      const w = await load('words.js'); w.speak(argument);
      const { number, percent, duration } = w;
      const made = [number(null), ...[0, 0.25, 12.34, 1234].map(number), ...[0.004, 1].map(percent),
        ...[0.00359, 0.095, 1.499].map(duration)];
      w.speak('en');
      return made.map((text) => text.replace(/\\u00a0/g, ' '));
    """

    assert world.run(script, language) == expected
