"""The yearly sunspot numbers that come with the package, and their linear forecasts."""

import numpy as np

from fastbp.benchmarks import sunspots


def test_the_series_is_that_of_the_years_1700_to_2008():
    years, numbers = sunspots.load()
    np.testing.assert_array_equal(years, np.arange(1700, 2009))
    known = {1700: 5.0, 1778: 154.4, 1810: 0.0, 1957: 190.2, 2008: 2.9}
    assert {year: numbers[years == year].item() for year in known} == known
    assert numbers.shape == (309,)
    assert (numbers.min(), numbers.max()) == (0.0, 190.2)


def test_a_linear_recurrence_is_forecast_exactly():
    series = [0.3, -0.2]
    for _ in range(60):
        series.append(1.6 * series[-1] - 0.9 * series[-2] + 0.5)
    forecasts = sunspots.autoregression(np.array(series), order=2, count=30)
    assert np.isnan(forecasts[:2]).all()
    np.testing.assert_allclose(forecasts[2:], series[2:], atol=1e-10)


def test_forecasts_use_nothing_that_lies_ahead():
    numbers = sunspots.load()[1]
    before = sunspots.autoregression(numbers, order=9, count=221)
    changed = numbers.copy()
    changed[250:] = 0.0
    after = sunspots.autoregression(changed, order=9, count=221)
    np.testing.assert_array_equal(before[:251], after[:251])
