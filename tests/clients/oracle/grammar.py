"""Which expressions there are: one line each, `type: template`, with holes for operands.

`{int4}` is an operand of that type; `{A}`, `{B}` are operands of a type that is drawn once for the line, ordered; `{X}` of any type;
`{N}`, `{M}` of number types; `{=4}` a small constant. In front: `!` may raise an error for its values, `*2` is drawn twice as often, `~` DuckDB means
something else by it or does not have it (most of the rest it has).
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from . import values

LINES = r"""
*6 bool: {A} = {A}
*3 bool: {A} <> {A}
*3 bool: {A} < {A}
*3 bool: {A} <= {A}
*3 bool: {A} > {A}
*3 bool: {A} >= {A}
*2 bool: {N} < {M}
*2 bool: {N} = {M}
*2 bool: {N} >= {M}
*2 bool: {A} IS DISTINCT FROM {A}
*2 bool: {A} IS NOT DISTINCT FROM {A}
*3 bool: {X} IS NULL
*3 bool: {X} IS NOT NULL
*3 bool: {A} BETWEEN {A} AND {A}
bool: {A} NOT BETWEEN {A} AND {A}
*2 bool: {A} IN ({A}, {A}, {A})
*2 bool: {A} NOT IN ({A}, {A})
bool: {A} IN ({A})
bool: {A} = ANY (ARRAY[{A}, {A}])
~ bool: {A} <> ALL (ARRAY[{A}, {A}])
~ bool: {A} < ANY (ARRAY[{A}, {A}])
bool: ({A}, {B}) = ({A}, {B})
~ bool: ({A}, {B}) < ({A}, {B})
~ bool: ({A}, {B}) >= ({A}, {B})
~ bool: ({A}, {B}) <> ({A}, {B})
~ bool: ({A}, {B}) IN (({A}, {B}), ({A}, {B}))
*6 bool: {bool} AND {bool}
*6 bool: {bool} OR {bool}
*4 bool: NOT {bool}
bool: {bool} IS TRUE
bool: {bool} IS NOT TRUE
bool: {bool} IS FALSE
bool: {bool} IS NOT FALSE
~ bool: {bool} IS UNKNOWN
~ bool: {bool} IS NOT UNKNOWN
~ bool: {text} LIKE {pattern}
~ bool: {text} NOT LIKE {pattern}
~ bool: {text} ILIKE {pattern}
~ bool: {text} ~ {regex}
~ bool: {text} !~* {regex}
~ bool: {text} ~* {regex}
bool: starts_with({text}, {text})
~ bool: {text} ^@ {text}
~ bool: {int4} = ANY ({int4[]})
~ bool: {text} <> ALL ({text[]})
~ bool: {int4[]} @> {int4[]}
~ bool: {text[]} <@ {text[]}
~ bool: {int4[]} = {int4[]}
~ bool: {text[]} <> {text[]}
~ bool: {jsonb} @> {jsonb}
~ bool: {jsonb} = {jsonb}
~ bool: {jsonb} ? 'a'
~ bool: {date} < {timestamp}
~ bool: {date} = {timestamp}
~ bool: {timestamp} >= {date}
~ bool: {int4}::bool
~ bool: isfinite({date})
~ bool: isfinite({timestamp})

*2 int2: {int2} % 7::int2
! int2: {int2} + {int2}
! int2: {int2} * {int2}
! int2: {int2} / {int2}
! int2: - {int2}
! int2: {int4}::int2
*2 int4: {int4%} + {int4%}
*2 int4: {int4%} - {int4%}
int4: {int4%} * {int4%}
~ int4: {int4} / 3
~ int4: {int4} / -7
int4: {int4} % 10
~ int4: {int4} % -3
~ int4: {int2} + {int4%}
~ int4: {int4} & {int4}
~ int4: {int4} | {int4}
~ int4: {int4} # {int4}
~ int4: {int4} << 2
~ int4: {int4} >> 3
! int4: {int4} + {int4}
! int4: {int4} - {int4}
! int4: {int4} * {int4}
! int4: {int4} / {int4}
! int4: {int4} % {int4}
! int4: - {int4}
! int4: abs({int4})
! int4: {int8}::int4
! int4: {float8}::int4
! int4: {numeric}::int4
! int4: {text}::int4
int4: abs({int4%})
int4: - {int4%}
int4: {int2}::int4
~ int4: {bool}::int4
int4: length({text})
~ int4: char_length({text})
~ int4: octet_length({text})
~ int4: bit_length({text})
~ int4: length({bytea})
~ int4: octet_length({bytea})
~ int4: ascii({text})
~ int4: strpos({text}, {text})
~ int4: position({text} IN {text})
~ int4: {date~} - {date~}
~ int4: cardinality({text[]})
~ int4: array_length({int4[]}, 1)
~ int4: array_position({int4[]}, {int4})
~ int4: ({int4[]})[1]
~ int4: ({int4[]})[{int4}]
~ int4: array_lower({int4[]}, 1)
~ int4: array_upper({text[]}, 1)
~ int4: extract(year FROM {date~})::int4
~ int4: extract(isodow FROM {timestamp~})::int4
~ int4: mod({int4}, 5)
*2 int8: {int8%} + {int8%}
int8: {int8%} - {int8%}
int8: {int8%} * {int8%}
~ int8: {int8} / 5
int8: {int8} % 1000
~ int8: {int4} + {int8%}
~ int8: {int8} & {int8}
~ int8: {int8} # {int8}
int8: {int4}::int8
int8: {int2}::int8
! int8: {int8} + {int8}
! int8: {int8} * {int8}
! int8: {int8} / {int8}
! int8: {int8} - {int4}
! int8: {numeric}::int8
! int8: {float8}::int8
! int8: - {int8}

*2 numeric: {numeric} + {numeric}
*2 numeric: {numeric} - {numeric}
numeric: {numeric} * {numeric=}
numeric: {numeric} * 1.5
numeric: {numeric} + {int4}
~ numeric: {numeric} / 3
~ numeric: {numeric} / 0.7
numeric: - {numeric}
numeric: abs({numeric})
~ numeric: round({numeric}, {=4})
~ numeric: round({numeric})
~ numeric: trunc({numeric}, {=4})
~ numeric: trunc({numeric})
~ numeric: floor({numeric})
~ numeric: ceil({numeric})
~ numeric: {numeric} % 7
~ numeric: {numeric} % 0.3
~ numeric: mod({numeric}, 2.5)
numeric: {int4}::numeric
numeric: {int8}::numeric
~ numeric: {int4}::numeric(12,3)
~ numeric: extract(epoch FROM {timestamp~})
~ numeric: extract(day FROM {date~})
~ numeric: extract(hour FROM {timestamp~})
~ numeric: extract(epoch FROM {interval})
~ numeric: extract(month FROM {interval})
~ numeric: extract(second FROM {time})
~ numeric: extract(dow FROM {date~})
~ numeric: extract(doy FROM {timestamp~})
~ numeric: extract(week FROM {date~})
~ numeric: extract(isoyear FROM {date~})
~ numeric: extract(quarter FROM {date~})
~ numeric: extract(decade FROM {date~})
~ numeric: extract(century FROM {date~})
~ numeric: extract(millennium FROM {date~})
~ numeric: extract(microseconds FROM {time})
~ numeric: extract(milliseconds FROM {timestamp~})
~ numeric: extract(julian FROM {date~})
! numeric: {numeric} / {numeric}
! numeric: {float8}::numeric(30,5)
! numeric: {text}::numeric
! numeric: {numeric} * {numeric}
! numeric: {numeric}::numeric(6,2)

*2 float8: {float8~} + {float8~}
float8: {float8~} - {float8~}
float8: {float8~} * {float8~}
float8: {float8~} / 4
float8: - {float8}
float8: abs({float8})
~ float8: round({float8})
~ float8: floor({float8})
~ float8: ceil({float8})
~ float8: trunc({float8})
~ float8: sign({float8})
~ float8: sqrt(abs({float8}))
~ float8: cbrt({float8~})
~ float8: power({float8~}, 2)
~ float8: atan({float8})
~ float8: atan2({float8~}, {float8~})
~ float8: sin({float8~})
~ float8: tanh({float8~})
~ float8: degrees({float8~})
~ float8: radians({float8~})
~ float8: exp({float8~} / 100)
float8: {int4}::float8
float8: {int8}::float8
float8: {float4}::float8
float8: {numeric}::float8
float8: {float8~} + {int4}
~ float8: {float8~} + {float4}
~ float8: date_part('day', {timestamp~})
~ float8: {float8~} * {numeric}
! float8: {float8} + {float8}
! float8: {float8} * {float8}
! float8: {float8} / {float8}
! float8: ln({float8})
! float8: sqrt({float8})
! float8: log({float8})
! float8: power({float8}, {float8})
! float8: exp({float8})
! float8: acos({float8})
! float8: {text}::float8
float4: {float4~} + {float4~}
float4: {float4~} * {float4~}
float4: - {float4}
~ float4: {int4}::float4
! float4: {float8}::float4
! float4: {float4} * {float4}

*3 text: {text} || {text}
~ text: {text} || {int4}
~ text: {date} || {text}
text: upper({text~})
text: lower({text~})
~ text: initcap({text~})
~ text: trim({text})
~ text: ltrim({text}, 'ax ')
~ text: rtrim({text}, {text})
~ text: btrim({text}, 'x')
~ text: trim(leading 'a' from {text})
~ text: substr({text}, {=4})
~ text: substr({text}, {=4}, 2)
~ text: substring({text} FROM 2 FOR 3)
~ text: substring({text} FROM {regex})
~ text: left({text}, {=4})
~ text: right({text}, {=4})
~ text: left({text}, {int4%})
~ text: right({text}, {int4%})
~ text: replace({text}, {text}, {text})
~ text: repeat({text}, {=4})
~ text: lpad({text}, 5, {text})
~ text: rpad({text}, 4)
~ text: lpad({text}, {=4})
~ text: reverse({text})
~ text: split_part({text}, ',', 2)
~ text: split_part({text}, {text}, 1)
~ text: split_part({text}, ' ', -1)
~ text: translate({text}, 'abx', 'BA')
~ text: md5({text})
~ text: concat({text}, {int4}, {text})
~ text: concat_ws('-', {text}, {text}, {text})
~ text: overlay({text} placing 'ZZ' from 2 for 1)
~ text: regexp_replace({text}, {regex}, 'R')
~ text: regexp_replace({text}, '[ab]', '<\&>', 'g')
~ text: quote_literal({text})
~ text: quote_ident({text})
~ text: encode({bytea}, 'hex')
~ text: encode({bytea}, 'base64')
~ text: chr(97 + abs({int4} % 20))
~ text: to_hex({int4})
~ text: array_to_string({text[]}, ',')
~ text: array_to_string({int4[]}, '-', '?')
~ text: ({text[]})[2]
~ text: {jsonb} ->> 'a'
~ text: {jsonb} ->> 0
~ text: {jsonb} #>> '{a,b}'
~ text: jsonb_typeof({jsonb})
~ text: to_char({timestamp~}, 'YYYY-MM-DD HH24:MI:SS.US')
~ text: to_char({date~}, 'Dy DD Mon YYYY, IYYY-IW-ID, DDD Q CC')
~ text: to_char({timestamp~}, 'FMMonth FMDDth, FMHH12:MI am')
text: {int4}::text
text: {int8}::text
text: {bool}::text
text: {date}::text
text: {uuid}::text
~ text: {float8}::text
~ text: {float4}::text
~ text: {timestamp}::text
~ text: {time}::text
~ text: {interval}::text
~ text: {bytea}::text
~ text: {jsonb}::text
~ text: {int4[]}::text
~ text: {text[]}::text
~ text: {text}::varchar(3)
~ text: nullif({text}, '')
! text: chr({int4})
! text: repeat({text}, {int4%})

~ bytea: {bytea} || {bytea}
~ bytea: decode(md5({text}), 'hex')
~ bytea: sha256({bytea})

*2 date: {date~} + {=4}
date: {date~} - {=4}
~ date: {timestamp}::date
~ date: date_trunc('month', {timestamp~})::date
! date: {date} + {int4}
! date: make_date({int4}, 2, 29)
! date: {text}::date
~ time: {timestamp~}::time
~ time: {time} + {interval}
~ time: {time} - {interval}
*2 timestamp: {timestamp~} + {interval}
timestamp: {timestamp~} - {interval}
~ timestamp: {date~} + {interval}
~ timestamp: {date}::timestamp
~ timestamp: date_trunc('year', {timestamp})
~ timestamp: date_trunc('quarter', {timestamp})
~ timestamp: date_trunc('week', {timestamp})
~ timestamp: date_trunc('day', {timestamp})
~ timestamp: date_trunc('minute', {timestamp})
~ timestamp: date_bin('15 minutes', {timestamp~}, timestamp '2001-01-01')
~ timestamp: {timestamptz} AT TIME ZONE 'UTC'
~ timestamp: {timestamptz~} AT TIME ZONE 'Europe/Berlin'
! timestamp: {text}::timestamp
~ timestamptz: {timestamp} AT TIME ZONE 'UTC'
~ timestamptz: {timestamp~} AT TIME ZONE 'America/New_York'
~ timestamptz: {timestamptz~} + {interval}
~ timestamptz: date_trunc('hour', {timestamptz})
~ timestamptz: to_timestamp({int4})
~ timestamptz: {timestamp}::timestamptz
~ interval: {timestamp~} - {timestamp~}
~ interval: {interval} + {interval}
~ interval: {interval} - {interval}
~ interval: {interval} * {=4}
~ interval: {interval} / 2
~ interval: - {interval}
! uuid: {text}::uuid
~ uuid: md5({text})::uuid
~ jsonb: {jsonb} -> 'a'
~ jsonb: {jsonb} -> 0
~ jsonb: {jsonb} -> -1
~ jsonb: {jsonb} #> '{a,b}'
~ jsonb: to_jsonb({int4})
~ jsonb: to_jsonb({text})
~ jsonb: jsonb_extract_path({jsonb}, 'b', '1')
! jsonb: {text}::jsonb
! int4: jsonb_array_length({jsonb})
~ int4[]: ARRAY[{int4}, {int4}]
~ int4[]: {int4[]} || {int4[]}
~ int4[]: {int4[]} || {int4}
~ int4[]: {int4} || {int4[]}
~ int4[]: array_append({int4[]}, {int4})
~ int4[]: array_prepend({int4}, {int4[]})
~ int4[]: array_remove({int4[]}, {int4})
~ int4[]: array_replace({int4[]}, 1, {int4})
~ int4[]: ({int4[]})[2:3]
~ int4[]: array_cat({int4[]}, {int4[]})
~ text[]: string_to_array({text}, ',')
~ text[]: string_to_array({text}, NULL)
~ text[]: ARRAY[{text}, {text}]
~ text[]: {text[]} || {text}
~ text[]: {text[]} || {text[]}
~ text[]: array_remove({text[]}, {text})
~ text[]: ({text[]})[:2]
~ text[]: regexp_match({text}, '(a)(b)?')
"""

# For every type `T`.
GENERIC = r"""
*2 T: CASE WHEN {bool} THEN {T} ELSE {T} END
T: CASE WHEN {bool} THEN {T} WHEN {bool} THEN {T} END
T: CASE {A} WHEN {A} THEN {T} WHEN {A} THEN {T} ELSE {T} END
*2 T: coalesce({T}, {T})
T: coalesce({T}, {T}, {T})
"""
GENERIC_ORDERED = r"""
T: nullif({T}, {T})
T: greatest({T}, {T})
T: least({T}, {T}, {T})
"""

# Aggregates: over which arguments, with which result. `^` an order that the result depends on; `d` takes DISTINCT.
AGGREGATES = r"""
*4 int8: count(*)
*3 int8: count({X})
*2 int8: count(DISTINCT {A})
int8: sum({int2})
*2 int8: sum({int4})
int8: sum(DISTINCT {int4})
numeric: sum({int8})
*2 numeric: sum({numeric})
~ numeric: sum(DISTINCT {numeric})
float8: sum({float8~})
~ numeric: avg({int4})
~ numeric: avg({int8})
~ numeric: avg({numeric})
float8: avg({float8~})
*3 T: min({T})
*3 T: max({T})
bool: bool_and({bool})
bool: bool_or({bool})
~ bool: every({bool})
~ int4: bit_and({int4})
~ int8: bit_or({int8})
~ int2: bit_xor({int2})
~ text: string_agg({text}, ',' ORDER BY {text})
~ int4[]: array_agg({int4} ORDER BY {int4})
~ int4[]: array_agg({int4} ORDER BY {int4} DESC NULLS LAST)
~ text[]: array_agg({text} ORDER BY {text})
~ float8: stddev_pop({float8~})
~ float8: var_samp({float8~})
~ float8: stddev_samp({float8~})
~ float8: corr({float8~}, {float8~})
~ float8: covar_pop({float8~}, {float8~})
~ float8: regr_slope({float8~}, {float8~})
~ float8: percentile_cont(0.5) WITHIN GROUP (ORDER BY {float8~})
~ int4: percentile_disc(0.25) WITHIN GROUP (ORDER BY {int4})
~ text: mode() WITHIN GROUP (ORDER BY {text})
"""
MINIMAL = (*values.NUMBERS, "text", "date", "time", "timestamp", "timestamptz", "interval")

HOLE = re.compile(r"\{([ABXNM]|=4|[a-z][a-z0-9]*(?:\[\])?[%~=]?)\}")
LINE = re.compile(r"(?:\*(?P<weight>\d+) )?(?P<flags>[!~] )?(?P<type>\S+): (?P<template>.*)")


@dataclass(frozen=True)
class Production:
    """A template for expressions of one type."""

    type: str
    template: str
    weight: int
    may_fail: bool
    portable: bool
    """Whether DuckDB means the same by it."""

    def pieces(self) -> list[str]:
        """Text at even places, names of holes at odd ones."""
        return HOLE.split(self.template)


def parse(lines: str) -> list[Production]:
    found = []
    for line in lines.strip().splitlines():
        if not line.strip():
            continue
        match = LINE.fullmatch(line.strip())
        assert match, line
        flags = match["flags"] or ""
        found.append(Production(match["type"], match["template"], int(match["weight"] or 1), "!" in flags, not flags))
    return found


def by_type() -> dict[str, list[Production]]:
    table: dict[str, list[Production]] = {name: [] for name in values.ALL}
    for production in parse(LINES):
        table[production.type].append(production)
    for name in values.ALL:
        generic = GENERIC + (GENERIC_ORDERED if name in values.ORDERED and name not in ("bytea",) else "")
        table[name] += [
            Production(name, each.template.replace("{T}", "{" + name + "}"), each.weight, False, each.portable)
            for each in parse(generic)
        ]
    return table


def aggregates() -> dict[str, list[Production]]:
    table: dict[str, list[Production]] = {name: [] for name in values.ALL}
    for each in parse(AGGREGATES):
        for name in MINIMAL if each.type == "T" else (each.type,):
            template = each.template.replace("{T}", "{" + name + "}")
            table[name].append(Production(name, template, each.weight, False, each.portable))
    return table


PRODUCTIONS = by_type()
AGGREGATE_PRODUCTIONS = aggregates()
PATTERNS = ("'%'", "'a%'", "'%b'", "'_'", "'%a%b%'", "''", r"'a\%b'", "'A_c'", "'%é%'", "'_b%'", r"'\\'", "'%_%'")
REGEXES = ("'a'", "'^a'", "'b$'", "'[0-9]+'", "'.'", "'^$'", "'a|b'", r"'\d'", "'(a)(b)'", "'x{2,}'", r"'\s'", "'[[:alpha:]]+'")


def draw(chance: random.Random, choices: list[Production]) -> Production:
    return chance.choices(choices, [each.weight for each in choices])[0]
