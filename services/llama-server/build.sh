#!/usr/bin/env bash
# Builds llama-server from the pinned source in sdist.txt with the patches in patches/. Standard output is one line,
# the path of the binary; progress goes to standard error.
#
#   build.sh [cpu|cuda] [--portable] [--with-stock] [--output DIR] [--jobs N]
#
#   cpu, cuda      what runs the model (default: cpu). cuda: RTX 30, 40 and 50; needs CUDA 12.8 or newer
#   --portable     not for this processor only: any x86-64 with AVX2 (Intel since 2013, AMD since 2015)
#   --with-stock   also build the unpatched tree, as llama-server-stock beside it, for comparison
#   --output DIR   put the files there instead of ~/.cache/atlas/llama-server/KEY
#   --jobs N       compilers at once (default: one per core, as far as 2 GB of memory each allow)
#
# KEY is a hash of all that goes into the build, so a finished build is found again and an old one never taken for
# it. Needs g++, git, tar and Python 3.10 with venv; cmake and ninja come from the package index if missing.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# RTX 30, 40, 50. llama.cpp makes 120a of 120, whose FP4 units it needs (its ggml-cuda/CMakeLists.txt).
CUDA_ARCHITECTURES='86;89;120'
CUDA_OLDEST=12.8 # the first that knows 120

say() { echo "build.sh: $*" >&2; }
fail() {
    say "$*"
    exit 1
}

kind=cpu portable=no stock=no output='' jobs=''
while [ $# -gt 0 ]; do
    case $1 in
        cpu | cuda) kind=$1 ;;
        --portable) portable=yes ;;
        --with-stock) stock=yes ;;
        --output) output=${2:?--output needs a directory} && shift ;;
        --jobs) jobs=${2:?--jobs needs a number} && shift ;;
        -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit 0 ;;
        *) fail "unknown argument $1; see build.sh --help" ;;
    esac
    shift
done

# ---------------------------------------------------------------- what is there

if [ -z "$jobs" ]; then
    by_memory=$(($(awk '/^MemAvailable/ {print $2}' /proc/meminfo) / 2000000))
    jobs=$(nproc)
    [ "$by_memory" -ge "$jobs" ] || jobs=$((by_memory > 1 ? by_memory : 1))
fi
compiler=${CXX:-g++}
for program in "$compiler" git tar python3 flock; do
    command -v "$program" > /dev/null || fail "$program is missing. Debian, Ubuntu: apt-get install g++ git tar \
python3-venv util-linux. Fedora: dnf install gcc-c++ git tar python3 util-linux"
done
if [ "$kind" = cuda ]; then
    nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
    found=$("$nvcc" --version 2> /dev/null | sed -n 's/.*release \([0-9.]*\),.*/\1/p') || true
    [ -n "$found" ] || fail "nvcc is missing: install the CUDA toolkit, $CUDA_OLDEST or newer, or build for the cpu"
    [ "$(printf '%s\n' "$CUDA_OLDEST" "$found" | sort -V | head -n 1)" = "$CUDA_OLDEST" ] ||
        fail "CUDA $found is too old for RTX 50 ($CUDA_ARCHITECTURES): install $CUDA_OLDEST or newer"
    export CUDACXX=$nvcc
fi

NO_TILES='-mno-amx-tile -mno-amx-int8 -mno-amx-bf16'
# With AVX512-FP16 ggml takes a head 128 values at a time where it adds up what attention attends to, in half precision;
# and what is left one by one: all of a head of 64, as of Qwen2.5-Coder-0.5B. Without, 64 at a time, as floats.
NO_HALVES=-mno-avx512fp16
# tiles_fault [FLAG...]: whether a program that uses AMX as ggml does dies of it (see tiles.h). Without AMX, in the
# compiler or in this processor, nothing dies.
tiles_fault() {
    local probe code=0
    probe=$(mktemp)
    if "$compiler" -x c++ -mamx-tile -O3 "$@" -o "$probe" - 2> /dev/null << 'CPP'; then
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
struct Config {
    unsigned char palette = 0, start_row = 0, reserved[14] = {};
    unsigned short bytes[16] = {};
    unsigned char rows[16] = {};
};
__attribute__((noinline)) void fill_the_stack() {
    volatile unsigned char bytes[4096];
    for (int i = 0; i < 4096; i++) bytes[i] = 0xff;
}
__attribute__((noinline)) void load() {
    alignas(64) Config config = {};
    config.palette = 1;
    config.rows[0] = 16;
    config.bytes[0] = 64;
    _tile_loadconfig(&config);
}
int main() {
    if (syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tile data */)) return 1;
    fill_the_stack();
    load();
    _tile_release();
}
CPP
        { "$probe" || code=$?; } 2> /dev/null
    fi
    rm -f "$probe"
    [ "$code" -ge 128 ]
}

flags=(
    -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF
    -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF
    -DLLAMA_ALL_WARNINGS=OFF -DGGML_ALL_WARNINGS=OFF
)
if [ "$portable" = yes ]; then
    # ggml's defaults then are SSE 4.2, AVX, AVX2, BMI2, FMA and F16C. Variants chosen when it starts
    # (GGML_CPU_ALL_VARIANTS) would need shared libraries and five builds of the same code, for a processor that on
    # the machines with an image mostly feeds a GPU.
    flags+=(-DGGML_NATIVE=OFF)
    processor=portable
else
    flags+=(-DGGML_NATIVE=ON)
    without=()
    if tiles_fault; then
        if ! tiles_fault -include "$here/tiles.h"; then
            flags+=(-DATLAS_TILES=ON)
        else
            say "what $compiler makes of AMX faults: building without it"
            without+=("$NO_TILES")
        fi
    fi
    if "$compiler" "$NO_HALVES" -E -x c++ /dev/null > /dev/null 2>&1; then
        without+=("$NO_HALVES")
    fi
    [ ${#without[@]} = 0 ] || flags+=("-DCMAKE_C_FLAGS=${without[*]}" "-DCMAKE_CXX_FLAGS=${without[*]}")
    processor=$(grep -m 1 -E '^(flags|Features)' /proc/cpuinfo || true)
fi
if [ "$kind" = cuda ]; then
    # The driver's libcuda.so.1 comes with the GPU; where an image is built there is none to link with.
    flags+=(-DGGML_CUDA=ON "-DCMAKE_CUDA_ARCHITECTURES=$CUDA_ARCHITECTURES"
        -DCMAKE_EXE_LINKER_FLAGS=-Wl,--allow-shlib-undefined)
fi

# Patches are found by what they hold, in the order of their numbers.
patches=("$here"/patches/*.patch)
source_key=$(cat "$here/build.sh" "$here/sdist.txt" "$here/unity.cmake" "$here/tiles.h" "${patches[@]}" | sha256sum | cut -c 1-12)
key=$({
    echo "$source_key $(uname -m) $processor $("$compiler" -dumpfullversion) ${found:-}"
    echo "${flags[@]}"
} | sha256sum | cut -c 1-12)
sdist=$(sed -n 's/^llama-cpp-python==\([^ ]*\).*/\1/p' "$here/sdist.txt")
build_info="b0-$sdist-atlas-$source_key"

# ---------------------------------------------------------------- done before?

cache=${XDG_CACHE_HOME:-$HOME/.cache}/atlas/llama-server
mkdir -p "$cache"
directory=${output:-$cache/$key}
wanted=("$directory/llama-server")
[ "$stock" = no ] || wanted+=("$directory/llama-server-stock")

finished() {
    # build.json is written last, so what it names is whole.
    grep -qs "\"key\": \"$key\"" "$directory/build.json" && ls "${wanted[@]}" > /dev/null 2>&1
}
answer() {
    echo "$(cd "$directory" && pwd)/llama-server"
    exit 0
}

if finished; then answer; fi
exec 9> "$cache/$key.lock"
flock --nonblock 9 || {
    say "another build of this runs; waiting for it"
    flock 9
    if finished; then answer; fi
}

# ---------------------------------------------------------------- fetch, patch, build

log=$cache/$key.log
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
: > "$log"

# Runs a step; its output goes to the log, and its progress lines are shown.
step() {
    say "$1"
    shift
    "$@" 2>&1 | tee -a "$log" | sed -un '/^\[[0-9]/p' >&2 || {
        tail -n 25 "$log" >&2
        say "that failed; the whole log is $log"
        ! grep -q 'Killed\|cc1plus' "$log" || say "a compiler that is killed wants memory: try --jobs 1"
        exit 1
    }
}

step "a virtual environment for pip, cmake and ninja" python3 -m venv "$work/venv"
# pip asks an sdist for its metadata, which takes the build backend it names.
tools=(scikit-build-core==1.1.2)
command -v cmake > /dev/null || tools+=(cmake==4.4.5)
command -v ninja > /dev/null || tools+=(ninja==1.13.2)
PATH="$PATH:$work/venv/bin"
pip=("$work/venv/bin/python" -m pip --disable-pip-version-check)
step "fetching ${tools[*]}" "${pip[@]}" install --quiet "${tools[@]}"
step "fetching llama-cpp-python $sdist (77 MB)" env "PATH=$work/venv/bin:$PATH" "${pip[@]}" download --no-deps \
    --no-binary :all: --no-build-isolation --require-hashes --dest "$work" --requirement "$here/sdist.txt"
step "unpacking" tar -xzf "$work/llama_cpp_python-$sdist.tar.gz" -C "$work" --strip-components=1 \
    --wildcards '*/vendor/llama.cpp/*'
tree=$work/vendor/llama.cpp
# It is a file that points to a repository which is not there. A repository of its own also keeps `git apply` from
# taking one further up for the patches' root, and then leaving them out without a word.
rm -rf "$tree/.git"
git -C "$tree" init --quiet

configure() {
    cmake -S "$tree" -B "$work/build" -G Ninja "-DCMAKE_PROJECT_llama.cpp_INCLUDE=$here/unity.cmake" \
        -DLLAMA_BUILD_NUMBER=0 "-DLLAMA_BUILD_COMMIT=$1" "${flags[@]}"
}
compile() {
    NINJA_STATUS='[%f/%t %es] ' cmake --build "$work/build" --target llama-server --parallel "$jobs"
}
apply() { cat "${patches[@]}" | git -C "$tree" apply "$@"; }

step "the patches fit" apply --check
mkdir -p "$directory"
rm -f "$directory/build.json"
if [ "$stock" = yes ]; then
    step "configuring without patches" configure "$sdist-stock"
    step "compiling without patches, $jobs at once (minutes)" compile
    mv "$work/build/bin/llama-server" "$directory/llama-server-stock"
fi
step "applying ${#patches[@]} patches" apply
step "configuring" configure "${build_info#b0-}"
step "compiling, $jobs at once (minutes)" compile

# A CUDA binary does not start without a driver, and where an image is built there is none.
if [ "$kind" = cpu ]; then
    "$work/build/bin/llama-server" --version 2>&1 | grep -q "${build_info#b0-}" || fail "it does not start; see $log"
fi
mv "$work/build/bin/llama-server" "$directory/llama-server"
cp "$tree/LICENSE" "$directory/LICENSE.llama.cpp"
python3 - "$directory/build.json" "$key" "$build_info" "$here/sdist.txt" "$("$compiler" --version | head -n 1)" \
    "${#flags[@]}" "${flags[@]}" "${patches[@]}" << 'PYTHON'
import hashlib, json, pathlib, re, sys

path, key, build_info, sdist, compiler, count, *rest = sys.argv[1:]
flags, patches = rest[: int(count)], map(pathlib.Path, rest[int(count) :])
requirement, sha256 = re.search(r"^(\S+) --hash=sha256:(\w+)$", pathlib.Path(sdist).read_text(), re.M).groups()
about = {
    "key": key,
    "build_info": build_info,
    "sdist": requirement,
    "sdist_sha256": sha256,
    "patches": {patch.name: hashlib.sha256(patch.read_bytes()).hexdigest() for patch in patches},
    "flags": flags,
    "compiler": compiler,
}
new = pathlib.Path(path + ".new")
new.write_text(json.dumps(about, indent=1) + "\n")
new.replace(path)
PYTHON
say "done: $directory"
answer
