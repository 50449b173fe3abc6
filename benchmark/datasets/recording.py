"""The program that runs a data set's own test code and writes down what it calls the solution with.

It runs in the sandbox, on stdin it is given a job, and on stdout it prints one JSON object:

    {"reference": source, "checks": [source, ...], "entry_point": name}
    {"calls": [{"arguments": [...], "value": ... | null, "carried": bool}, ...], "problem": ""}

The data's own reference solution answers the calls, so its tests must pass; what they do not like, and
arguments that JSON has no word for, end the recording with a `problem`. Tuples are written as lists.
"""

DRIVER = r"""
import inspect, io, json, random, sys

class NoWord(Exception):
    pass

def word(value):
    if value is None or isinstance(value, (bool, int, float, str)) and type(value) in (bool, int, float, str):
        return value
    if type(value) in (list, tuple):
        return [word(each) for each in value]
    if type(value) is dict:
        if not all(type(key) is str for key in value):
            raise NoWord("a dict with keys that are not texts")
        return {key: word(each) for key, each in value.items()}
    raise NoWord(f"a {type(value).__name__}")

def record(job):
    calls, inside = [], []
    space = {"__name__": "reference"}
    exec(compile(job["reference"], "reference", "exec"), space)
    function = space[job["entry_point"]]

    def recorder(*given, **named):
        if inside:  # a recursion of the reference itself
            return function(*given, **named)
        if named:
            bound = inspect.signature(function).bind(*given, **named)
            if bound.kwargs:
                raise NoWord("a keyword-only argument")
            given = bound.args
        try:
            call = {"arguments": word(given), "value": None, "carried": True}
        except NoWord as problem:
            raise NoWord(f"an argument is {problem}") from None
        calls.append(call)
        inside.append(True)
        try:
            value = function(*given)
        finally:
            inside.pop()
        try:
            call["value"] = word(value)
        except NoWord:
            call["carried"] = False
        return value

    space[job["entry_point"]] = recorder
    random.seed(0)
    for checks in job["checks"]:
        before = len(calls)
        exec(compile(checks, "checks", "exec"), space)
        if len(calls) == before and callable(space.get("check")):
            space["check"](recorder)
    return calls

def main():
    sys.setrecursionlimit(20000)
    job, out = json.loads(sys.stdin.read()), sys.stdout
    sys.stdout = io.StringIO()
    answer = {"calls": [], "problem": ""}
    try:
        answer["calls"] = record(job)
    except NoWord as problem:
        answer["problem"] = str(problem)
    except BaseException as error:
        answer["problem"] = f"its reference fails its own tests: {type(error).__name__}"
    out.write(json.dumps(answer))

main()
"""
