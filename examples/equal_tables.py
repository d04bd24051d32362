"""Two databases of one shop compared: what generators read, vectors and candidates, to the bit."""

from __future__ import annotations

import sys

import duckdb

from genfilt.common.output import OutputFormat, show

TABLES = ("attributes", "captions", "vectors", "qp_candidates", "it_candidates")
LEFT_OUT = {"created_at"}  # a time


def compare(one: str, other: str) -> list[dict[str, object]]:
    """Return the rows of each table, and how many of either database the other lacks."""
    found: list[dict[str, object]] = []
    with duckdb.connect() as connection:
        for name, path in (("one", one), ("other", other)):
            connection.execute(f"ATTACH '{path}' AS {name} (READ_ONLY)")
        for table in TABLES:
            columns = [
                name
                for (name, *_) in connection.execute(f"DESCRIBE one.{table}").fetchall()
                if name not in LEFT_OUT
            ]
            rows = {
                name: f"SELECT {', '.join(columns)} FROM {name}.{table}"
                for name in ("one", "other")
            }
            count = f"SELECT count(*) FROM one.{table}"
            unlike = (
                f"SELECT count(*) FROM (({rows['one']} EXCEPT ALL {rows['other']}) "
                f"UNION ALL ({rows['other']} EXCEPT ALL {rows['one']}))"
            )
            number, different = (
                connection.execute(sql).fetchall()[0][0] for sql in (count, unlike)
            )
            found.append({"table": table, "rows": number, "different": different})
    return found


def main() -> None:
    """Print the comparison; exit with 1 where a row differs."""
    found = compare(*sys.argv[1:3])
    show(found, OutputFormat.table)
    sys.exit(any(row["different"] for row in found))


if __name__ == "__main__":
    main()
