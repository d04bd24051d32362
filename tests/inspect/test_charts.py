from __future__ import annotations

import numpy as np

from genfilt.filter.precision_curve import Curve
from genfilt.inspect.charts import curve, funnel, histogram


def test_a_funnel_narrows() -> None:
    rows = funnel([("all", 1000), ("some", 10), ("none", 0), ("still none", 0)])
    assert [row["width"] for row in rows] == [100, 1, 0, 0]
    assert [row["share"] for row in rows] == [None, "1 %", "0 %", "0 %"]
    assert funnel([("all", 0)])[0]["width"] == 0
    wide = funnel([("all", 10**9), ("few", 3)], logarithmic=True)
    assert 0 < wide[1]["width"] < 10
    assert wide[1]["share"] == "< 0.001 %"


def test_a_histogram_marks_sigma_where_it_lies() -> None:
    values = np.linspace(0, 1, 1001)
    drawn = histogram("x", values, values[:0], 0.45)
    assert drawn["sigma"] == 180
    assert drawn["any_above"] == "55 %"
    assert drawn["known"] is None
    assert histogram("x", values, values, None)["sigma"] is None
    assert "nan" not in histogram("x", np.array([-3.0, 7.0]), values, 1.0)["any"]


def test_a_curve_leaves_out_what_is_not_defined() -> None:
    found = Curve(
        sigma=[0.0, 0.5, 0.9],
        precision=[0.5, 1.0, None],
        precision_ci=[(0.4, 0.6), (0.9, 1.0), (None, None)],
        recall=[1.0, 0.25, 0.0],
        recall_ci=[(None, None)] * 3,
    )
    drawn = curve(found, 0.5, 0.95, 0.5)
    assert drawn["precision"] == "M0.0,100.0L190.0,0.0"
    assert drawn["recall"] == "M0.0,0.0L190.0,150.0L342.0,200.0"
    assert drawn["band"] == "M0.0,80.0L190.0,0.0L190.0,20.0L0.0,120.0"
    assert (drawn["sigma"], drawn["best"], drawn["target"]) == (190, 190, 10)
