"""What a statement would reach outside the database: files of the account that runs the server, other hosts, programs.

ClickHouse's own server confines these by its configuration, which the embedded engine does not read. No local user or
web page shall read a developer's files through a database without a password. A name is judged where it stands: `url`
may well be a table's or a column's. The engine's parser says what is called (EXPLAIN AST), in whatever case, quotes or
comments it is written; the tokens of the statement show what that leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from streams.embedded.clickhouse_sql import Token

#: Table functions that read this database, or nothing.
_FUNCTIONS_INSIDE = """
    dictionary format fuzzjson fuzzquery generate_series generaterandom generateseries input loop merge
    mergetreeanalyzeindexes mergetreeanalyzeindexesuuid mergetreecodecblockcounts mergetreeindex mergetreeprojection
    mergetreetextindex null numbers numbers_mt primes prometheusquery prometheusqueryrange sqlstandardvalues
    timeseriesdata timeseriesmetricfamilies timeseriesmetrics timeseriessamples timeseriesselector timeseriestags
    values view viewexplain viewifpermitted zeros zeros_mt
"""
#: Engines of tables and databases that keep what they hold in this database; so do all that end in MergeTree.
_ENGINES_INSIDE = """
    alias atomic buffer dictionary fuzzjson fuzzquery generaterandom join log loop materializedview memory merge null
    ordinary replicated set stripelog timeseries tinylog view
"""
#: Ordinary functions that read files or ask other hosts, and the targets of backups.
_CALLS_OUTSIDE = """
    aiclassify aiembed aiextract aifilter aigenerate airedact aisimilarity aitranslate catboostevaluate disk file
    hascolumnintable
"""
_INSIDE = frozenset((*_FUNCTIONS_INSIDE.split(), *_ENGINES_INSIDE.split()))
_SOURCES_INSIDE = ("clickhouse", "null")
#: What makes a dictionary's source ClickHouse another server.
_PARTS_OF_A_HOST = ("host", "port", "name")

#: Settings by which a format reads or writes a file of its own.
_SETTINGS_OUTSIDE = (
    "format_template_resultset",
    "format_template_row",
    "input_format_record_errors_file_path",
    "output_format_schema",
    "rename_files_after_processing",
)
#: A schema is a file's, unless it stands in the settings themselves.
_SCHEMA, _SCHEMA_SOURCE = "format_schema", "format_schema_source"

#: A line of the tree that is a call, as ` Function url (alias a) (children 1)`.
_CALL = re.compile(r"^ *(?P<kind>Function|FunctionWithKeyValueArguments) +(?P<name>.*?)(?: \(|$)")
#: Behind these a name followed by a bracket is a table's, with its columns.
_NAMING = ("INTO", "TABLE", "EXISTS", "VIEW", "DICTIONARY", "DATABASE", "TO", "ON", "WITH", "INDEX")


def names_outside(functions: Iterable[str], engines: Iterable[str]) -> frozenset[str]:
    """Every name that must not be called, in small letters, by the names that the engine has.

    What a later engine brings is outside until it is known to be inside.
    """
    known = {name.lower() for name in (*functions, *engines)}
    within = {name for name in known if name in _INSIDE or name.endswith("mergetree")}
    return frozenset(known - within | set(_CALLS_OUTSIDE.split()))


def refusal(tree: str, tokens: Sequence[Token], settings: Mapping[str, str], outside: frozenset[str]) -> str | None:
    """Why a statement is not run, by its tree as the engine prints it, its tokens, and the settings that come with it.

    None when it may be.
    """
    return _called(tree, outside) or _written(tokens, outside) or _set({**settings, **_settings(tokens)})


def _settings(tokens: Sequence[Token]) -> dict[str, str]:
    """The settings that a statement makes, by name."""
    begun = next((i for i, token in enumerate(tokens) if token.keyword in ("SETTINGS", "SETTING", "SET")), len(tokens))
    later = tokens[begun:]
    found = zip(later, later[1:], later[2:], strict=False)
    return {
        name.name: value.text.decode(errors="replace").strip("'") for name, sign, value in found if sign.text == b"="
    }


def _set(settings: Mapping[str, str]) -> str | None:
    for name in _SETTINGS_OUTSIDE:
        if settings.get(name):
            return f"{name} is a file of the server, which the embedded server does not offer"
    if settings.get(_SCHEMA_SOURCE, "string") != "string" or (settings.get(_SCHEMA) and _SCHEMA_SOURCE not in settings):
        return f"a schema comes with the request: set {_SCHEMA_SOURCE} = 'string' beside {_SCHEMA}"
    return None


def _called(tree: str, outside: frozenset[str]) -> str | None:
    for line in tree.splitlines():
        call = _CALL.match(line)
        if call is None:
            continue
        name = call["name"].lower()
        if name in outside or (call["kind"] != "Function" and name not in _SOURCES_INSIDE):
            return _sentence(call["name"])
    return None


def _written(tokens: Sequence[Token], outside: frozenset[str]) -> str | None:
    """What the tree does not show: files of the statement itself, settings, and the insides of a few statements."""
    kinds = {token.keyword for token in tokens[:3]}
    for before, token, following in zip([None, *tokens], tokens, tokens[1:], strict=False):
        named = before is not None and (before.keyword in _NAMING or before.text == b".")
        if (token.keyword, following.keyword) == ("INTO", "OUTFILE") and (before is None or before.keyword != "INSERT"):
            return _for_files("INTO OUTFILE")
        if token.keyword == "INFILE" and following.kind == "string" and "INSERT" in kinds:
            return _for_files("FROM INFILE")
        if token.keyword == "FROM" and following.kind == "string" and "ATTACH" in kinds:
            return _for_files("ATTACH ... FROM")
        if token.name in outside and following.text == b"(" and not named:
            return _sentence(token.name)
        if token.keyword == "APPLY" and _applied(following, tokens) in outside:
            return _sentence(_applied(following, tokens))
        if "DICTIONARY" in kinds and token.name in _PARTS_OF_A_HOST and following.kind in ("string", "number"):
            return f"{token.name.upper()} in a dictionary's source reaches outside the database: {_NOT_OFFERED}"
    return None


def _applied(following: Token, tokens: Sequence[Token]) -> str:
    """The function named by APPLY, with a bracket or without."""
    if following.text != b"(":
        return following.name
    return next((token.name for token in tokens if token.start > following.start), "")


_NOT_OFFERED = "the embedded server does not offer that"


def _sentence(name: str) -> str:
    return f"{name}() reaches outside the database, which the embedded server does not offer"


def _for_files(clause: str) -> str:
    return f"{clause} is for files of the server: send or fetch the data over HTTP"
