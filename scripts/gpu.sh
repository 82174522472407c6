#!/usr/bin/env bash
# Proof and measurements on a Linux machine with an NVIDIA GPU, its driver, NVRTC and (for the comparison) Python with PyTorch,
# but without .NET and without a network.
#
#   scripts/gpu.sh pack             here, with the SDK: builds artifacts/gpu.tar.xz from the working tree
#   scripts/gpu.sh run [PART ...]   there, where artifacts/gpu.tar.xz lies: all parts, or those named
#
# Parts: doctor table tests sanitizer agree step kernels profile draw. Logs, tables, traces and pictures go to $OUT (default:
# artifacts/gpu-results). A part that fails or hangs costs only itself. The last lines are a compact report.
# Settings: OUT, PYTHON (default python3), DEVICE (default cuda:0), LIMIT (seconds of one part, default 300).
set -uo pipefail
cd "$(dirname "$0")/.."
all=(doctor table tests agree step kernels profile draw sanitizer)
archive=artifacts/gpu.tar.xz

pack() {
    set -e
    local folder=artifacts/gpu
    rm -rf "$folder" "$archive"
    publish() { dotnet publish "$1" -c Release -r linux-x64 --self-contained -o "$folder/bin" -p:DebugType=none "${@:2}" -v quiet --nologo; }
    publish tests/Mdm.CudaEmulator.Tests -p:Standalone=true
    publish bench/Mdm.Bench
    publish src/Mdm.Cli
    # What the SDK's test host brings along and the tests do not use here.
    rm -rf "$folder"/bin/{cs,de,es,fr,it,ja,ko,pl,pt-BR,ru,tr,zh-Hans,zh-Hant} "$folder"/bin/Microsoft.VisualStudio.CodeCoverage* \
        "$folder"/bin/*.xml "$folder"/bin/createdump
    mkdir -p "$folder/bench" "$folder/tests"
    cp -r bench/pytorch "$folder/bench/"
    cp -r configs models kernels "$folder/"
    cp -r tests/golden "$folder/tests/"
    cp MdmNative.sln "$folder/" # by which the tests know the root
    git rev-parse HEAD > "$folder/commit"
    tar -cJf "$archive" -C artifacts gpu
    rm -rf "$folder"
    local megabytes=$(( $(stat -c %s "$archive") / 1000000 ))
    echo "$archive: $megabytes MB"
    [ "$megabytes" -lt 60 ] || { echo "expected less than 60 MB" >&2; exit 1; }
}

run() {
    OUT=$(realpath -m "${OUT:-artifacts/gpu-results}")
    export OUT PYTHON=${PYTHON:-python3} DEVICE=${DEVICE:-cuda:0}
    mkdir -p "$OUT"
    [ -f "$archive" ] || { echo "$archive is missing: run 'scripts/gpu.sh pack' where the SDK is" >&2; exit 2; }
    local folder; folder=$(mktemp -d)
    tar -xJf "$archive" -C "$folder"
    cd "$folder/gpu"
    export MDM_CACHE_DIR=$folder/cache
    : > "$OUT/report.txt"
    say "commit $(cat commit), $(date -u +%FT%TZ)"
    for part in "$@"; do
        local start=$SECONDS
        # A part runs in a shell of its own, so that nothing it does ends the others.
        timeout --kill-after=10 "${LIMIT:-300}" bash -c "$(declare -f say rows "part_$part"); part_$part" > "$OUT/$part.log" 2>&1
        local code=$?
        say "== $part: exit code $code, $((SECONDS - start)) s"
        [ $code = 0 ] || tail -n 4 "$OUT/$part.log" | cut -c1-300 | tee -a "$OUT/report.txt"
        [ -f "$OUT/$part.txt" ] && cat "$OUT/$part.txt" >> "$OUT/report.txt"
    done
    rm -rf "$folder"
    echo
    cat "$OUT/report.txt"
}

say() { echo "$*" | tee -a "$OUT/report.txt"; }

# Lines of JSON as short lines of text.
rows() { "$PYTHON" -c '
import json, sys
for line in sys.stdin:
    try: row = json.loads(line)
    except ValueError: continue
    print("  " + "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))'; }

part_doctor() {
    nvidia-smi
    bin/mdm doctor | tee "$OUT/doctor.txt"
    bin/mdm doctor --device "$DEVICE"
}

part_table() {
    local code=0
    for type in float32 bfloat16; do
        bin/mdm gradcheck --device "$DEVICE" --type "$type" --quiet > "$OUT/table-$type.log" 2>&1 || code=1
        { echo "  $type: $(tail -n 1 "$OUT/table-$type.log")"; } | tee -a "$OUT/table.txt"
        cat "$OUT/table-$type.log"
    done
    return $code
}

part_tests() {
    MDM_TEST_DEVICE=$DEVICE bin/Mdm.CudaEmulator.Tests --filter "Category!=Emulator" --no-progress --no-ansi > "$OUT/tests-all.log" 2>&1
    local code=$?
    grep -E "^(failed|Failed) |error|total:|failed:|succeeded:|skipped:" "$OUT/tests-all.log" | cut -c1-200 | tail -n 40 | tee "$OUT/tests.txt"
    return $code
}

part_sanitizer() {
    command -v compute-sanitizer || { echo "  compute-sanitizer is not installed" | tee "$OUT/sanitizer.txt"; return 0; }
    local code=0
    for tool in memcheck racecheck synccheck initcheck; do
        MDM_POOL=0 MDM_GRAPHS=0 timeout 120 compute-sanitizer --tool "$tool" --error-exitcode 9 \
            bin/mdm gradcheck --device "$DEVICE" --quiet --type bfloat16 "batch 2" > "$OUT/sanitizer-$tool.log" 2>&1 || code=1
        echo "  $tool: $(grep -E 'ERROR SUMMARY|RACECHECK SUMMARY' "$OUT/sanitizer-$tool.log" | tail -n 1)" | tee -a "$OUT/sanitizer.txt"
    done
    return $code
}

# Both sides compute the same step from the same weights.
part_agree() {
    for config in configs/quickstart.yaml configs/bench_6m.yaml configs/models/cc12m_64x64.yaml; do
        bin/Mdm.Bench --only export --device "$DEVICE" --batch-size 4 --configs "$config" --export "$MDM_CACHE_DIR/step.safetensors" \
            && "$PYTHON" bench/pytorch/gpu.py "$config" --check "$MDM_CACHE_DIR/step.safetensors" | sed "s|^|  $(basename "$config") |"
        rm -f "$MDM_CACHE_DIR/step.safetensors"
    done | tee "$OUT/agree.txt"
}

# Whole steps: ours, then PyTorch eager, compiled, and compiled with CUDA graphs.
part_step() {
    local m64=configs/models/cc12m_64x64.yaml m256=configs/models/cc12m_256x256.yaml
    steps() { bin/Mdm.Bench --only steps --steps 20 --device "$DEVICE" "$@"; }
    {
        steps --configs $m64 --train 8,32 --sample 1,16
        steps --configs $m256 --train 8
        for mode in eager compile graphs; do
            timeout 200 "$PYTHON" bench/pytorch/gpu.py $m64 --mode $mode --train 8,32 --sample 1,16
        done
        timeout 120 "$PYTHON" bench/pytorch/gpu.py $m256 --mode eager --train 8
    } 2> "$OUT/step-errors.log" | tee "$OUT/step.jsonl" | rows | tee "$OUT/step.txt"
}

# Kernels alone at the sizes of the 64x64 model, and what cuBLAS, cuDNN and flash attention need for them.
part_kernels() {
    local matmul="131072x1024x256 NT,32768x512x512 NT,32768x1536x512 NT,32768x2048x512 NT,32768x512x2048 NT,8192x768x768 NT,8192x2304x768 NT,8192x3072x768 NT,8192x768x3072 NT,512x512x32768 TN,768x3072x8192 TN,4096x1536x2048 NT"
    local conv="32x64x64 256->256,32x64x64 512->256,32x32x32 512->512,32x32x32 1024->512,32x16x16 768->768,32x16x16 1536->768,32x64x64 3->256,32x64x64 256->256 /2,32x16x16 768->768 x2"
    local attention="32x8x64 1024x1024,32x8x64 1024x128,32x8x96 256x256,32x8x96 256x128"
    local norm="32x4096x256/32,32x1024x512/32,32x256x768/32"
    local sizes=()
    ask() {
        bin/mdm profile --device "$DEVICE" --fp16 --kernel "$1" --shape "$2" --json "$OUT/kernel-$1.json" --top 50
        local IFS=,
        for shape in $2; do sizes+=("$1 $shape"); done
    }
    ask MatMul "$matmul"
    for pass in Forward BackwardData BackwardWeight; do ask Conv3x3$pass "$conv"; done
    for pass in Forward Backward; do ask Attention$pass "$attention"; ask GroupNorm$pass "$norm"; done
    ask AdamStep 461359107
    "$PYTHON" bench/pytorch/gpu_kernels.py "${sizes[@]}" > "$OUT/kernels-peer.jsonl"
    "$PYTHON" - "$OUT" <<'PY' | tee "$OUT/kernels.txt"
import glob, json, sys
peer = {r["Name"]: r for r in map(json.loads, open(sys.argv[1] + "/kernels-peer.jsonl"))}
print("  kernel | us | TFLOP/s | GB/s | share of our peak | PyTorch's time / ours")
for path in sorted(glob.glob(sys.argv[1] + "/kernel-*.json")):
    data = json.load(open(path))
    for row in data["rows"]:
        name = row["name"].removesuffix(" bf16").replace(" silu", "").replace(" NN", "")
        other = peer.get(name, {}).get("Seconds")
        s = row["seconds"]
        print(f"  {name} | {s*1e6:.1f} | {row['operations']/s/1e12:.1f} | {row['bytes']/s/1e9:.0f} | {row['roofline']:.0%} | "
              + (f"{other/s:.2f}" if other else "-"))
    print(f"  ({data['device']}: {data['peak_flops']/1e12:.0f} TFLOP/s, {data['peak_bytes']/1e9:.0f} GB/s)") if "MatMul" in path else None
PY
}

part_profile() {
    local m64=configs/models/cc12m_64x64.yaml
    bin/mdm profile --device "$DEVICE" --config-path $m64 --fp16 --batch-size 32 --tokens 128 \
        --json "$OUT/profile-train.json" --trace "$OUT/trace-train.json" | tee "$OUT/profile.txt"
    bin/mdm profile --device "$DEVICE" --config-path $m64 --fp16 --batch-size 32 --tokens 128 --by shape --top 60 > "$OUT/profile-shapes.log"
    bin/mdm profile --device "$DEVICE" --config-path $m64 --fp16 --step sample --batch-size 1 --tokens 128 | tee -a "$OUT/profile.txt"
}

# A short run that ends with pictures, and the model that ships.
part_draw() {
    bin/mdm quickstart --device "$DEVICE" --minutes 1 --output-dir "$OUT/quickstart" | tee "$OUT/draw.txt"
    rm -rf "$OUT"/quickstart/data "$OUT"/quickstart/model/*state* "$OUT"/quickstart/model/*.pth
    bin/mdm sample --device "$DEVICE" --sample-dir "$OUT/shipped" "a large red circle above a small blue square" \
        "a green triangle to the left of a yellow circle" | tee -a "$OUT/draw.txt"
    local start; start=$(date +%s%N)
    bin/mdm sample --device "$DEVICE" --sample-dir "$OUT/again" "a large red circle" > /dev/null
    echo "  warm start to finished picture: $(( ($(date +%s%N) - start) / 1000000 )) ms" | tee -a "$OUT/draw.txt"
}

case ${1:-} in
    pack) pack ;;
    run) shift; [ $# -gt 0 ] || set -- "${all[@]}"
        for part in "$@"; do declare -F "part_$part" > /dev/null || { echo "no part '$part', expected ${all[*]}" >&2; exit 2; }; done
        run "$@" ;;
    *) sed -n '2,12p' "$0" | sed 's/^# \{0,1\}//'; exit 2 ;;
esac
