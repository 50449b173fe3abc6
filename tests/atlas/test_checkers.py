import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.checkers import matches

KINDS = ("stdin", "function")
CHECKERS = ("official", "strict")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
numberish = st.text(alphabet='0123456789.eE+-_ \n\tNaInfsy١[]{}",:', max_size=30)


@pytest.mark.parametrize(
    ("output", "expected", "official", "strict"),
    [
        ("1 2\n3\n", "1 2\n3", True, True),
        ("  1 2 \r\n 3 ", "1 2\n3", True, True),
        ("1\n2", "1 2", False, False),
        ("1\n\n2", "1\n2", False, False),
        ("1.0", "1", True, True),
        ("1e2", "100", True, True),
        ("0.333333333", "0.3333333333", False, True),
        ("0.34", "0.33", False, False),
        ("1000000.5", "1000000.0", False, True),
        ("1.0000001", "1", False, False),
        ("1.0000001", "1.0", False, True),
        ("100000000000000000001", "100000000000000000000", False, False),
        ("YES", "yes", False, False),
        ("YES 0.5", "YES 0.50", False, True),
        ("YES  1", "YES 1", False, True),
        ("1_0", "10", True, False),
        ("١", "1", True, False),
        ("Infinity", "inf", True, False),
        ("NaN", "nan", False, False),
        ("sNaN", "1", False, False),
        ("1e999999999999999999999", "1", False, False),
        ("1e999999", "1.5", False, False),
        ("", "", True, True),
        ("", "0", False, False),
        ("9" * 200_000, "9" * 200_000, True, True),
        ("9" * 200_000, "9" * 199_999 + "8", False, False),
    ],
)
def test_printed_text(output: str, expected: str, official: bool, strict: bool) -> None:
    assert matches("stdin", output, expected, "official") is official
    assert matches("stdin", output, expected, "strict") is strict


@pytest.mark.parametrize(
    ("output", "expected", "official", "strict"),
    [
        ("[1, 2]", "[1,2]", True, True),
        ("[1, 2]", "[2,1]", False, False),
        ("true", "1", True, False),
        ("[1, 0]", "[true, false]", True, False),
        ("1.0", "1", True, True),
        ("0.30000000000000004", "0.3", False, True),
        ("[[0.30000000000000004]]", "[[0.3]]", False, True),
        ("3.0000001", "3", False, False),
        ("null", "0", False, False),
        ("null", "null", True, True),
        ('"1"', "1", False, False),
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', True, True),
        ('{"a": 1}', '{"a": 1, "b": 2}', False, False),
        ("NaN", "NaN", False, True),
        ("Infinity", "Infinity", True, True),
        ("-Infinity", "Infinity", False, False),
        ("1" + "0" * 400, "1.5", False, False),
        ("7" * 10_000, "7" * 10_000, True, True),
        ("7" * 10_000, "7" * 9_999 + "8", False, False),
        ("", "null", False, False),
        ("[1", "[1", False, False),
        ("[" * 100_000 + "]" * 100_000, "[" * 100_000 + "]" * 100_000, True, True),
        ("[" * 100_000 + "]" * 100_000, "[]", False, False),
    ],
)
def test_returned_values(output: str, expected: str, official: bool, strict: bool) -> None:
    assert matches("function", output, expected, "official") is official
    assert matches("function", output, expected, "strict") is strict


@given(output=numberish | st.text(max_size=30), expected=numberish | st.text(max_size=30))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("checker", CHECKERS)
def test_no_text_makes_a_checker_raise(kind, checker, output: str, expected: str) -> None:
    assert matches(kind, output, expected, checker) in (True, False)


@given(text=st.text(max_size=60))
@pytest.mark.parametrize("checker", CHECKERS)
def test_printed_text_matches_itself_with_any_margin(checker, text: str) -> None:
    assert matches("stdin", f"\n{text} \n\n", text, checker)


@given(value=json_values)
@pytest.mark.parametrize("checker", CHECKERS)
def test_a_value_matches_itself_however_it_is_laid_out(checker, value: object) -> None:
    assert matches("function", json.dumps(value, indent=1), json.dumps(value), checker)


@given(got=json_values, want=json_values)
def test_official_is_pythons_equality(got: object, want: object) -> None:
    assert matches("function", json.dumps(got), json.dumps(want), "official") is (got == want)


@given(number=st.integers(), offset=st.integers(min_value=1, max_value=10**6))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("checker", CHECKERS)
def test_integers_are_exact(kind, checker, number: int, offset: int) -> None:
    assert not matches(kind, str(number + offset), str(number), checker)
