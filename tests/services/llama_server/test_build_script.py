"""build.sh with stand-ins for pip and cmake: what it fetches, patches, configures, keeps and refuses."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "services" / "llama-server"
SERVER = "tools/server/server.cpp"
PATCHES = {
    "0001-one.patch": ("first\n", "second\n"),
    "0002-two.patch": ("second\n", "third\n"),  # of the same file: fits only after the other
}
# Makes an environment whose python "downloads" the prepared sdist; anything else it passes on.
PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; exit; fi
case "$*" in
    *" download "*)
        echo "$*" >> "$STUB/pip"
        while [ "$1" != --dest ]; do shift; done
        exec cp "$STUB/sdist" "$2/$SDIST" ;;
    *" install "*) exit ;;
esac
exec "$REAL_PYTHON" "$@"
"""
# "Compiles": the server is a script that says the version it was configured with, and the source's state.
CMAKE = """#!/bin/sh
echo "$*" >> "$STUB/cmake"
[ ! -e "$STUB/fail" ] || { echo "[1/2 1s] compiling"; echo "error: no such thing"; exit 1; }
if [ "$1" = --build ]; then
    source=$(cat "$2/../vendor/llama.cpp/$SERVER")
    printf '#!/bin/sh\\necho "version: %s %s" >&2\\n' "$(cat "$2/version")" "$source" > "$2/bin/llama-server"
    chmod +x "$2/bin/llama-server"
    exit
fi
mkdir -p "$4/bin"
for argument; do case $argument in -DLLAMA_BUILD_COMMIT=*) echo "${argument#*=}" > "$4/version";; esac; done
"""


@dataclass
class Bench:
    """A copy of the folder with patches of its own, and what the stand-ins were asked."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "llama-server"

    def build(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "STUB": str(self.root),
            "SERVER": SERVER,
            "SDIST": "llama_cpp_python-0.3.36.tar.gz",
            "REAL_PYTHON": str(shutil.which("python3")),
            **variables,
        }
        return subprocess.run(
            [self.folder / "build.sh", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def built(self, *arguments: str, **variables: str) -> Path:
        done = self.build(*arguments, **variables)
        assert done.returncode == 0, done.stderr
        return Path(done.stdout.removesuffix("\n"))

    def asked(self, program: str) -> list[str]:
        """Command lines of cmake or pip so far."""
        path = self.root / program
        return path.read_text().splitlines() if path.exists() else []

    def stand_in(self, name: str, text: str) -> None:
        path = self.root / "bin" / name
        path.write_text(text)
        path.chmod(0o755)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    (tmp_path / "bin").mkdir()
    patches = bench.folder / "patches"
    patches.mkdir(parents=True)
    for name in ("build.sh", "sdist.txt", "unity.cmake", "tiles.h"):
        shutil.copy(SOURCE / name, bench.folder)
    for name, (before, after) in PATCHES.items():
        diff = f"--- a/{SERVER}\n+++ b/{SERVER}\n@@ -1 +1 @@\n-{before}+{after}"
        (patches / name).write_text(f"What, why, how tested.\n\ndiff --git a/{SERVER} b/{SERVER}\n{diff}")
    tree = tmp_path / "tree" / "llama_cpp_python-0.3.36" / "vendor" / "llama.cpp"
    (tree / SERVER).parent.mkdir(parents=True)
    (tree / SERVER).write_text("first\n")
    (tree / "LICENSE").write_text("MIT\n")
    (tree / ".git").write_text("gitdir: ../../.git/modules/vendor/llama.cpp\n")
    with tarfile.open(tmp_path / "sdist", "w:gz") as sdist:
        sdist.add(tmp_path / "tree" / "llama_cpp_python-0.3.36", "llama_cpp_python-0.3.36")
    bench.stand_in("python3", PYTHON)
    bench.stand_in("cmake", CMAKE)
    bench.stand_in("ninja", "")
    return bench


def says(binary: Path) -> str:
    return subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stderr


def test_a_build_is_patched_stamped_described_and_found_again(bench: Bench) -> None:
    binary = bench.built()
    about = json.loads(binary.with_name("build.json").read_text())
    assert re.fullmatch(r"b0-0\.3\.36-atlas-[0-9a-f]{12}", about["build_info"])
    assert says(binary) == f"version: {about['build_info'].removeprefix('b0-')} third\n"
    assert list(about["patches"]) == list(PATCHES)
    assert about["sdist"] == "llama-cpp-python==0.3.36"
    assert "-DGGML_NATIVE=ON" in about["flags"]
    assert "g++" in about["compiler"]
    assert binary.with_name("LICENSE.llama.cpp").read_text() == "MIT\n"
    assert "--require-hashes" in bench.asked("pip")[0]
    count = len(bench.asked("cmake"))
    assert bench.built() == binary
    assert len(bench.asked("cmake")) == count, "nothing is configured or compiled again"
    assert not list((bench.root / "cache").rglob("work.*")), "the tree is removed"


def test_the_stock_server_is_the_same_tree_without_patches(bench: Bench) -> None:
    binary = bench.built("--with-stock")
    assert says(binary.with_name("llama-server-stock")) == "version: 0.3.36-stock first\n"
    assert says(binary).endswith(" third\n")


@pytest.mark.parametrize("name", ["sdist.txt", "unity.cmake", "tiles.h", "patches/0002-two.patch"])
def test_whatever_goes_in_is_in_the_key(bench: Bench, name: str) -> None:
    before = bench.built()
    with (bench.folder / name).open("a") as file:
        file.write("\n")
    after = bench.built()
    assert after != before
    assert says(after) != says(before)


def test_other_arguments_are_other_builds(bench: Bench) -> None:
    assert bench.built("--portable") != bench.built()
    assert "-DGGML_NATIVE=OFF" in bench.asked("cmake")[0]


# What a program of the compiler's AMX does, and one that includes tiles.h.
@pytest.mark.parametrize(
    ("plain", "mended", "expected"),
    [
        ("kill -SEGV $$", "exit 0", ["-DATLAS_TILES=ON"]),
        ("kill -ILL $$", "kill -ILL $$", ["-DCMAKE_C_FLAGS=", "-DCMAKE_CXX_FLAGS="]),
        ("exit 1", "exit 1", []),
        ("exit 0", "exit 0", []),
    ],
)
def test_amx_that_faults_is_mended_or_left_out(
    bench: Bench, plain: str, mended: str, expected: list[str]
) -> None:
    bench.stand_in(
        "compiler",
        f"""#!/bin/sh
[ "$1" != -mno-avx512fp16 ] || exit 1
[ "$3" = -mamx-tile ] || exec g++ "$@"
does='{plain}'
while [ "$1" != -o ]; do [ "$1" != -include ] || does='{mended}'; shift; done
printf '#!/bin/sh\\n%s\\n' "$does" > "$2"
chmod +x "$2"
""",
    )
    about = json.loads(bench.built(CXX="compiler").with_name("build.json").read_text())
    wanted = [each + "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16" * each.endswith("=") for each in expected]
    assert [flag for flag in about["flags"] if "amx" in flag or "TILES" in flag] == wanted
    assert all(flag in bench.asked("cmake")[0] for flag in wanted)


@pytest.mark.parametrize(
    ("arguments", "knows", "left_out"), [([], 0, True), ([], 1, False), (["--portable"], 0, False)]
)
def test_half_precision_is_left_out_where_the_compiler_knows_of_it(
    bench: Bench, arguments: list[str], knows: int, left_out: bool
) -> None:
    bench.stand_in("compiler", f'#!/bin/sh\n[ "$1" != -mno-avx512fp16 ] || exit {knows}\nexec g++ "$@"\n')
    about = json.loads(bench.built(*arguments, CXX="compiler").with_name("build.json").read_text())
    for name in ("-DCMAKE_C_FLAGS=", "-DCMAKE_CXX_FLAGS="):
        given = [flag for flag in about["flags"] if flag.startswith(name)]
        assert any("-mno-avx512fp16" in flag for flag in given) == left_out


@pytest.mark.skipif(platform.machine() != "x86_64", reason="AMX is of x86-64")
def test_what_tiles_h_defines_takes_names_for_tiles_as_ggml_does(tmp_path: Path) -> None:
    (tmp_path / "a.cpp").write_text(
        "#define FIRST 0\nvoid f(const char *config, const char *rows, long width)"
        " { _tile_loadconfig(config); _tile_loadd(FIRST, rows, width); }\n"
    )
    flags = ["-mamx-tile", "-O3", "-include", str(SOURCE / "tiles.h"), "-S", "-o", "-"]
    done = subprocess.run(["g++", *flags, tmp_path / "a.cpp"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"tileloadd\t\(%rsi,%rdx,1\), %tmm0", done.stdout)


def test_a_compiler_that_knows_no_amx_leaves_it_as_it_is(bench: Bench) -> None:
    bench.stand_in("compiler", '#!/bin/sh\n[ "$3" != -mamx-tile ] || exit 1\nexec g++ "$@"\n')
    about = json.loads(bench.built(CXX="compiler").with_name("build.json").read_text())
    assert not [flag for flag in about["flags"] if "amx" in flag]


def test_a_patch_that_does_not_fit_stops_before_anything_is_compiled(bench: Bench) -> None:
    (bench.folder / "patches" / "0001-one.patch").unlink()
    done = bench.build()
    assert done.returncode == 1
    assert "patch failed: tools/server/server.cpp:1" in done.stderr
    assert bench.asked("cmake") == []


def test_a_failed_build_shows_the_end_of_its_log_and_is_never_taken_for_a_finished_one(bench: Bench) -> None:
    (bench.root / "fail").touch()
    done = bench.build("--output", str(bench.root / "out"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.search(r"error: no such thing\n.*the whole log is .*\.log", done.stderr)
    (bench.root / "fail").unlink()
    assert says(bench.built("--output", str(bench.root / "out"))).endswith(" third\n")


def test_a_build_that_was_interrupted_before_its_description_is_made_again(bench: Bench) -> None:
    binary = bench.built()
    binary.with_name("build.json").unlink()
    binary.write_text("half a binary")
    assert says(bench.built()).endswith(" third\n")


def test_what_pip_refuses_is_shown(bench: Bench) -> None:
    (bench.root / "sdist").unlink()
    done = bench.build()
    assert done.returncode == 1
    assert "No such file" in done.stderr
    assert "fetching llama-cpp-python 0.3.36" in done.stderr


def nvcc(release: str) -> str:
    return f"#!/bin/sh\necho 'Cuda compilation tools, release {release}, V{release}.0'\n"


def test_cuda_is_configured_for_three_generations_and_links_without_a_driver(bench: Bench) -> None:
    bench.stand_in("nvcc", nvcc("12.9"))
    bench.built("cuda", "--portable", "--jobs", "3")
    configured, compiled = bench.asked("cmake")
    assert "-DGGML_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=86;89;120 " in configured
    assert "--allow-shlib-undefined" in configured
    assert compiled.endswith("--target llama-server --parallel 3")


def test_an_old_cuda_is_refused(bench: Bench) -> None:
    bench.stand_in("nvcc", nvcc("12.4"))
    done = bench.build("cuda")
    assert (done.returncode, bench.asked("cmake")) == (1, [])
    assert "CUDA 12.4 is too old for RTX 50" in done.stderr


def test_a_missing_compiler_names_the_install_line(bench: Bench) -> None:
    done = bench.build(CXX="no-such-compiler")
    assert done.returncode == 1
    assert "no-such-compiler is missing. Debian, Ubuntu: apt-get install g++" in done.stderr


def test_an_unknown_argument_is_refused(bench: Bench) -> None:
    done = bench.build("--fast")
    assert (done.returncode, done.stderr) == (1, "build.sh: unknown argument --fast; see build.sh --help\n")
