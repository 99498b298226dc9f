"""Questions about the flights: each gives one order of rows, and means the same to Outcrop, PostgreSQL and DuckDB.

Integer division, integer averages' types and the place of nulls in an order differ between databases; the questions
avoid them or say what they want. `known` holds answers that stand here as constants, so that a mistake that all the
databases share is found too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True)
class Question:
    name: str
    sql: str
    known: list[tuple] | None = field(default=None)


QUESTIONS = [
    Question(
        "rows of each table",
        """SELECT (SELECT count(*) FROM flights), (SELECT count(*) FROM weather), (SELECT count(*) FROM planes),
                  (SELECT count(*) FROM airports), (SELECT count(*) FROM airlines)""",
        [(336776, 26115, 3322, 1458, 16)],
    ),
    Question(
        "missing values and distinct planes",
        """SELECT count(*) - count(dep_time), count(*) - count(dep_delay), count(*) - count(arr_delay),
                  count(*) - count(tailnum), count(DISTINCT tailnum), count(DISTINCT dest) FROM flights""",
        [(8255, 8255, 9430, 2512, 4043, 105)],
    ),
    Question(
        "sums of every numeric column",
        """SELECT sum(year), sum(month), sum(day), sum(dep_time), sum(sched_dep_time), sum(dep_delay), sum(arr_time),
                  sum(sched_arr_time), sum(arr_delay), sum(flight), sum(air_time), sum(distance), sum(hour), sum(minute)
           FROM flights""",
        [
            (
                *(677930088, 2205381, 5291016, 443210949, 452712768, 4152200, 492768669),
                *(517415985, 2257174, 664096549, 49326610, 350217607, 4438791, 8833668),
            )
        ],
    ),
    Question(
        "delay by airline",
        """SELECT a.name, count(*) AS flights, avg(f.dep_delay) AS dep, avg(f.arr_delay) AS arr, max(f.dep_delay) AS longest
           FROM flights f JOIN airlines a ON a.carrier = f.carrier GROUP BY a.name ORDER BY a.name""",
    ),
    Question(
        "delay by month and origin, filtered aggregates",
        """SELECT month, origin, count(*) FILTER (WHERE dep_time IS NULL) AS cancelled,
                  count(*) FILTER (WHERE dep_delay > 15) AS late, avg(dep_delay) AS mean, stddev_samp(dep_delay) AS deviation
           FROM flights GROUP BY month, origin ORDER BY month, origin""",
    ),
    Question(
        "most wanted destinations, named where known",
        """SELECT f.dest, p.name, p.alt, count(*) AS flights FROM flights f LEFT JOIN airports p ON p.faa = f.dest
           GROUP BY f.dest, p.name, p.alt ORDER BY flights DESC, f.dest LIMIT 10""",
    ),
    Question(
        "destinations that no airport describes",
        "SELECT dest, count(*) FROM flights WHERE dest NOT IN (SELECT faa FROM airports) GROUP BY dest ORDER BY dest",
        [("BQN", 896), ("PSE", 365), ("SJU", 5819), ("STT", 522)],
    ),
    Question(
        "flights of planes that nobody describes",
        """SELECT carrier, count(*) AS flights FROM flights f
           WHERE NOT EXISTS (SELECT 1 FROM planes p WHERE p.tailnum = f.tailnum) GROUP BY carrier ORDER BY flights DESC, carrier""",
    ),
    Question(
        "percentiles of delay",
        """SELECT carrier, percentile_cont(0.5) WITHIN GROUP (ORDER BY dep_delay) AS median,
                  percentile_cont(0.9) WITHIN GROUP (ORDER BY dep_delay) AS p90,
                  percentile_cont(0.99) WITHIN GROUP (ORDER BY dep_delay) AS p99
           FROM flights GROUP BY carrier ORDER BY carrier""",
    ),
    Question(
        "three joins: seats flown by manufacturer",
        """SELECT p.manufacturer, count(*) AS flights, sum(p.seats) AS seats, count(DISTINCT f.dest) AS destinations,
                  count(DISTINCT a.name) AS airlines
           FROM flights f JOIN planes p ON p.tailnum = f.tailnum JOIN airlines a ON a.carrier = f.carrier
           GROUP BY p.manufacturer HAVING count(*) > 100 ORDER BY flights DESC, p.manufacturer""",
    ),
    Question(
        "weather and delay, joined on place and hour",
        """SELECT CASE WHEN w.visib < 2 THEN 'fog' WHEN w.visib < 8 THEN 'haze' ELSE 'clear' END AS sight,
                  count(*) AS flights, avg(f.dep_delay) AS delay, max(w.wind_speed) AS wind, avg(w.temp) AS temp
           FROM flights f JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour GROUP BY 1 ORDER BY 1""",
    ),
    Question(
        "window: the three worst days of each airport",
        """WITH days AS (SELECT origin, month, day, sum(dep_delay) AS delay FROM flights GROUP BY origin, month, day),
                ranked AS (SELECT *, row_number() OVER (PARTITION BY origin ORDER BY delay DESC, month, day) AS place FROM days)
           SELECT origin, place, month, day, delay FROM ranked WHERE place <= 3 ORDER BY origin, place""",
        [
            ("EWR", 1, 3, 8, 26007),
            ("EWR", 2, 12, 5, 17938),
            ("EWR", 3, 4, 18, 17880),
            ("JFK", 1, 7, 10, 19408),
            ("JFK", 2, 7, 22, 16936),
            ("JFK", 3, 7, 1, 16922),
            ("LGA", 1, 3, 8, 24211),
            ("LGA", 2, 9, 2, 19801),
            ("LGA", 3, 12, 5, 18060),
        ],
    ),
    Question(
        "window: running total, previous day, moving average",
        """WITH days AS (SELECT month, day, count(*) AS n FROM flights GROUP BY month, day)
           SELECT month, day, n, sum(n) OVER (ORDER BY month, day) AS so_far,
                  n - lag(n) OVER (ORDER BY month, day) AS change,
                  avg(n) OVER (ORDER BY month, day ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) AS week
           FROM days ORDER BY month, day""",
    ),
    Question(
        "window: rank, dense rank, first and last value",
        """WITH pairs AS (SELECT origin, carrier, count(*) AS n FROM flights GROUP BY origin, carrier)
           SELECT origin, carrier, n, rank() OVER w AS place, dense_rank() OVER w AS dense,
                  first_value(carrier) OVER w AS busiest, ntile(4) OVER (PARTITION BY origin ORDER BY n DESC, carrier) AS quarter
           FROM pairs WINDOW w AS (PARTITION BY origin ORDER BY n DESC, carrier) ORDER BY origin, carrier""",
    ),
    Question(
        "time: flights by hour of the world's clock and day of week",
        """SELECT date_trunc('month', time_hour) AS month, extract(dow FROM time_hour) AS weekday, count(*) AS flights,
                  min(time_hour) AS first_hour, max(time_hour) AS last_hour
           FROM flights WHERE time_hour >= timestamptz '2013-06-01 00:00:00+00' AND time_hour < timestamptz '2013-09-01 00:00:00+00'
           GROUP BY 1, 2 ORDER BY 1, 2""",
    ),
    Question(
        "the same plane again within the hour",
        """WITH legs AS (SELECT tailnum, time_hour, dest,
                                lag(time_hour) OVER (PARTITION BY tailnum ORDER BY time_hour, flight, origin, carrier) AS before
                         FROM flights WHERE tailnum IS NOT NULL AND dep_time IS NOT NULL)
           SELECT count(*), count(before), sum(CASE WHEN time_hour - before <= interval '1 hour' THEN 1 ELSE 0 END) FROM legs""",
        [(328521, 324484, 113)],
    ),
    Question(
        "set operations and subqueries",
        """SELECT count(*) FROM (
             SELECT tailnum FROM flights WHERE origin = 'EWR' INTERSECT SELECT tailnum FROM flights WHERE origin = 'JFK'
             EXCEPT SELECT tailnum FROM flights WHERE origin = 'LGA') AS planes""",
        [(272,)],
    ),
    Question(
        "text: names by pattern and length",
        """SELECT upper(substr(name, 1, 3)) AS start, count(*) AS n, max(length(name)) AS longest, min(name) AS first_name
           FROM airports WHERE name LIKE '%Intl%' OR name LIKE 'San %' GROUP BY 1 ORDER BY n DESC, 1 LIMIT 20""",
    ),
    Question(
        "correlation and variance",
        """SELECT origin, corr(dep_delay, arr_delay) AS together, var_pop(air_time) AS spread, avg(distance) AS distance
           FROM flights GROUP BY origin ORDER BY origin""",
    ),
    Question(
        "rollup",
        """SELECT origin, month, count(*) AS flights, sum(distance) AS miles FROM flights WHERE carrier IN ('AA', 'B6', 'UA')
           GROUP BY ROLLUP (origin, month) ORDER BY origin NULLS LAST, month NULLS LAST""",
    ),
    Question(
        "one flight by its key",
        """SELECT dep_time, dep_delay, tailnum, dest, time_hour FROM flights
           WHERE year = 2013 AND month = 7 AND day = 4 AND carrier = 'UA' AND flight = 15 AND origin = 'EWR'""",
        [(1430, 65, "N76055", "HNL", datetime(2013, 7, 4, 17, tzinfo=UTC))],
    ),
]

# Asked at every stage of a changing table; the others at the first and the last.
SHORT = frozenset(
    {"missing values and distinct planes", "sums of every numeric column", "delay by airline", "percentiles of delay"}
)
