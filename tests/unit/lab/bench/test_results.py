"""What a benchmark makes of its figures."""

from lab.bench.results import Figure, Results

BARE = Figure.of("bare", [2.0, 1.0, 3.0])
OURS = Figure.of("ours", [3.0, 30.0, 2.0], baseline="bare", aim=2.5)
LONE = Figure.of("lone", [1.0], unit="MB", baseline="never measured")


def results(*figures: Figure) -> Results:
    return Results.of("test", "invoke bench.test", figures, load=0.5)


def test_figures_are_medians_and_ratios_are_of_medians():
    assert BARE.median == 2.0
    assert results(BARE, OURS).ratio(OURS) == 1.5
    assert results(BARE, OURS, LONE).ratio(LONE) is None
    assert results(BARE).ratio(BARE) is None


def test_a_quantile_is_a_value_that_was_measured():
    many = Figure.of("many", range(100))
    assert many.quantile(0.95) == 95
    assert OURS.quantile(0.95) == 30.0
    assert LONE.quantile(0.95) == 1.0


def test_the_plain_form_says_what_was_run_where_and_under_which_load():
    found = results(BARE, OURS).as_dict()
    assert found["command"] == "invoke bench.test"
    assert found["load"] == 0.5
    assert "cores" in found["machine"]
    assert [(f["name"], f["median"], f["ratio"]) for f in found["figures"]] == [
        ("bare", 2.0, None),
        ("ours", 3.0, 1.5),
    ]
