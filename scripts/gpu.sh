#!/usr/bin/env bash
# Proof and measurements on a Linux machine with an NVIDIA GPU, its driver, NVRTC and (for the comparison) Python with PyTorch,
# but without .NET and without a network.
#
#   scripts/gpu.sh pack             here, with the SDK: builds artifacts/gpu.tar.xz from the working tree
#   scripts/gpu.sh run [PART ...]   there, where artifacts/gpu.tar.xz lies: all parts, or those named
#
# All parts need about half an hour. In calls of ten minutes at most, what matters most first:
#
#   scripts/gpu.sh run doctor 'warm&' table tests agree
#   scripts/gpu.sh run step graphs compile
#   scripts/gpu.sh run kernels auto profile draw sanitizer
#
# A part that fails or hangs costs only itself; one with & behind its name runs beside the next ones ('warm' lets PyTorch's compiler
# fill its cache, which takes minutes). Compiled kernels, ours and PyTorch's, are kept in CACHE from call to call. After each part,
# $OUT/report.txt grows and $OUT/logs.tar.gz has all logs, tables, traces and pictures. The last lines printed are the report.
# Settings: OUT (default artifacts/gpu-results), CACHE (artifacts/gpu-cache), PYTHON (python3), DEVICE (cuda:0), LIMIT (seconds of one
# part, 300), TOTAL (seconds of one call, 570), REHEARSE=1 (tiny sizes: for the emulator, MDM_CUDA_EMULATOR, and PyTorch on a CPU).
set -uo pipefail
cd "$(dirname "$0")/.."
all=(doctor table tests agree step graphs compile kernels auto profile draw sanitizer)
archive=artifacts/gpu.tar.xz

pack() {
    set -e
    local folder=artifacts/gpu
    rm -rf "$folder" "$archive"
    publish() { dotnet publish "$1" -c Release -r linux-x64 --self-contained -o "$folder/bin" -p:DebugType=none "${@:2}" -v quiet --nologo; }
    publish tests/Mdm.CudaEmulator.Tests -p:Standalone=true
    publish bench/Mdm.Bench
    publish src/Mdm.Cli
    # What the SDK's test host brings along and the tests do not use here, and what lies beside bin too.
    rm -rf "$folder"/bin/{cs,de,es,fr,it,ja,ko,pl,pt-BR,ru,tr,zh-Hans,zh-Hant} "$folder"/bin/Microsoft.{CodeCoverage,VisualStudio.CodeCoverage}* \
        "$folder"/bin/*.xml "$folder"/bin/createdump
    mkdir -p "$folder/bench" "$folder/tests"
    cp -r bench/pytorch "$folder/bench/"
    cp -r configs models kernels "$folder/"
    cp -r tests/golden "$folder/tests/"
    rm -rf "$folder"/bench/pytorch/__pycache__
    ln -sfn ../models "$folder/bin/models.link" && rm -rf "$folder/bin/models" && mv "$folder/bin/models.link" "$folder/bin/models"
    cp MdmNative.sln "$folder/" # by which the tests know the root
    git describe --always --dirty --abbrev=40 > "$folder/commit"
    tar -cJf "$archive" -C artifacts gpu
    rm -rf "$folder"
    local megabytes=$(( $(stat -c %s "$archive") / 1000000 ))
    echo "$archive: $megabytes MB"
    [ "$megabytes" -lt 60 ] || { echo "expected less than 60 MB" >&2; exit 1; }
}

run() {
    [ -f "$archive" ] || { echo "$archive is missing: run 'scripts/gpu.sh pack' where the SDK is" >&2; exit 2; }
    set_up
    tar -xJf "$archive" -C "$WORK" || exit 1
    cd "$WORK/gpu" || exit 1
    : > "$OUT/report.txt"
    say "commit $(cat commit), $(date -u +%FT%TZ)"
    for part in "$@"; do
        if [ "${part%&}" = "$part" ]; then one "$part"; else one "${part%&}" & fi
    done
    wait
    say "all: $SECONDS s"
    rm -rf "$WORK"
    echo
    cat "$OUT/report.txt"
}

# One part, in a shell of its own, so that nothing it does ends the others.
one() {
    local start=$SECONDS code left=$(( ${TOTAL:-570} - SECONDS ))
    [ "$1" = warm ] || [ $left -le ${LIMIT:-300} ] || left=${LIMIT:-300}
    [ $left -gt 5 ] || { say "== $1: not run, the call's time is up"; return; }
    timeout --kill-after=10 $left bash -c "set -o pipefail; $(declare -f rows "part_$1"); part_$1" > "$LOGS/$1.log" 2>&1
    code=$?
    {
        echo "== $1: exit code $code, $((SECONDS - start)) s"
        [ $code = 0 ] || tail -n 4 "$LOGS/$1.log" | cut -c1-300
        [ -f "$LOGS/$1.txt" ] && cat "$LOGS/$1.txt"
    } >> "$OUT/report.txt"
    echo "$1: exit code $code, $((SECONDS - start)) s"
    tar -czf "$OUT/.logs" -C "$WORK" logs && mv "$OUT/.logs" "$OUT/logs.tar.gz"
}

say() { echo "$*" | tee -a "$OUT/report.txt"; }

# What the parts see: folders, programs and sizes.
set_up() {
    OUT=$(realpath -m "${OUT:-artifacts/gpu-results}") CACHE=$(realpath -m "${CACHE:-artifacts/gpu-cache}") WORK=$(mktemp -d)
    LOGS=$WORK/logs PYTHON=${PYTHON:-python3} DEVICE=${DEVICE:-cuda:0}
    mkdir -p "$OUT" "$CACHE" "$LOGS"
    M64=configs/models/cc12m_64x64.yaml M256=configs/models/cc12m_256x256.yaml BATCH=32 TRAIN=32,8 TRAIN256=8 SAMPLE=1,16 TOKENS=128 STEPS=20
    NUMBERS=461359107 FILTER= CASES="batch 2" MINUTES=1 AGREE="configs/quickstart.yaml configs/bench_6m.yaml $M64"
    MATMUL="131072x1024x256 NT,32768x512x512 NT,32768x1536x512 NT,32768x2048x512 NT,32768x512x2048 NT,8192x768x768 NT,8192x2304x768 NT,8192x3072x768 NT,8192x768x3072 NT,4096x1536x2048 NT" WEIGHTS="512x512x32768 TN,768x3072x8192 TN"
    CONV="32x64x64 256->256,32x64x64 512->256,32x32x32 512->512,32x32x32 1024->512,32x16x16 768->768,32x16x16 1536->768,32x64x64 3->256,32x64x64 256->256 /2,32x16x16 768->768 x2"
    ATTENTION="32x8x64 1024x1024,32x8x64 1024x128,32x8x96 256x256,32x8x96 256x128"
    NORM="32x4096x256/32,32x1024x512/32,32x256x768/32"
    if [ -n "${REHEARSE:-}" ]; then
        M64=bench/pytorch/rehearsal.yaml M256=bench/pytorch/rehearsal.yaml BATCH=2 TRAIN=2 TRAIN256=2 SAMPLE=1 TOKENS=6 STEPS=1
        NUMBERS=1000 FILTER=layernorm CASES=layernorm MINUTES=0.05 AGREE=$M64
        MATMUL="64x32x16 NT" WEIGHTS="32x16x64 TN" CONV="1x8x8 16->16,1x8x8 16->16 /2,1x4x4 16->16 x2" ATTENTION="1x2x32 16x6" NORM="1x64x32/8"
    fi
    export OUT LOGS PYTHON DEVICE MDM_CACHE_DIR=$CACHE/mdm TORCHINDUCTOR_CACHE_DIR=$CACHE/inductor TRITON_CACHE_DIR=$CACHE/triton
    export M64 M256 BATCH TRAIN TRAIN256 SAMPLE TOKENS STEPS NUMBERS FILTER CASES MINUTES AGREE MATMUL WEIGHTS CONV ATTENTION NORM PYTHONUNBUFFERED=1
    # NVRTC may be the one that came with this Python.
    PATH=$PATH:$("$PYTHON" -c 'import os, sys; print(os.path.dirname(sys.executable))')
}

# Lines of JSON as short lines of text.
rows() { "$PYTHON" -c '
import json, sys
for line in sys.stdin:
    try: row = json.loads(line)
    except ValueError: continue
    print("  " + "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)'; }

# What is there, and how long the kernels take to compile and to load.
part_doctor() {
    nvidia-smi
    "$PYTHON" -c 'import torch; print("PyTorch", torch.__version__, "CUDA", torch.version.cuda)'
    bin/mdm doctor --device "$DEVICE" | cut -c1-200 | tee "$LOGS/doctor.txt" || return
    for when in "with what the cache held" "again"; do
        local start; start=$(date +%s%N)
        bin/mdm gradcheck --device "$DEVICE" multiply || return
        echo "  from the start of mdm gradcheck to the end of a few kernels, $when: $(( ($(date +%s%N) - start) / 1000000 )) ms" | tee -a "$LOGS/doctor.txt"
    done
}

# PyTorch's compiler leaves what it made on disk; the figures mean nothing, as other parts run at the same time.
part_warm() {
    for mode in graphs compile; do
        "$PYTHON" bench/pytorch/gpu.py $M64 --mode $mode --train $TRAIN --sample $SAMPLE --tokens $TOKENS --steps 1
    done
}

part_table() {
    local code=0
    for type in float32 bfloat16; do
        bin/mdm gradcheck --device "$DEVICE" --type "$type" --quiet $FILTER > "$LOGS/table-$type.log" 2>&1 || code=1
        echo "  $type: $(tail -n 1 "$LOGS/table-$type.log")" | tee -a "$LOGS/table.txt"
        cat "$LOGS/table-$type.log"
    done
    return $code
}

# Kernels, captured steps, training and sampling; the recorded networks in float32, TF32 and bfloat16.
part_tests() {
    MDM_TEST_DEVICE=$DEVICE bin/Mdm.CudaEmulator.Tests ${FILTER:+--filter FullyQualifiedName~Precision} \
        --progress off --no-ansi --output Detailed > "$LOGS/tests-all.log" 2>&1
    local code=$?
    grep -E "^(failed|Failed) |error|total:|failed:|succeeded:|skipped:|differs" "$LOGS/tests-all.log" | sed 's/^ */  /' \
        | awk '!seen[$0]++' | cut -c1-200 | tail -n 60 | tee "$LOGS/tests.txt"
    return $code
}

part_sanitizer() {
    command -v compute-sanitizer || { echo "  compute-sanitizer is not installed" | tee "$LOGS/sanitizer.txt"; return 0; }
    local code=0
    for tool in memcheck racecheck synccheck initcheck; do
        MDM_POOL=0 MDM_GRAPHS=0 timeout 70 compute-sanitizer --tool "$tool" --error-exitcode 9 \
            bin/mdm gradcheck --device "$DEVICE" --quiet --type bfloat16 "$CASES" > "$LOGS/sanitizer-$tool.log" 2>&1 || code=1
        echo "  $tool: $(grep -E 'ERROR SUMMARY|RACECHECK SUMMARY' "$LOGS/sanitizer-$tool.log" | tail -n 1)" | tee -a "$LOGS/sanitizer.txt"
    done
    return $code
}

# Both sides compute the same step from the same weights.
part_agree() {
    local code=0 step=$MDM_CACHE_DIR/step.safetensors
    for config in $AGREE; do
        bin/Mdm.Bench --only export --device "$DEVICE" --batch-size 4 --configs "$config" --export "$step" \
            && "$PYTHON" bench/pytorch/gpu.py "$config" --check "$step" > "$LOGS/agree-one.log" || code=1
        sed "s|^|  $(basename "$config") |" "$LOGS/agree-one.log" | tee -a "$LOGS/agree.txt"
        rm -f "$step" "$LOGS/agree-one.log"
    done
    return $code
}

# Whole steps: ours, then PyTorch's; the sampling step at batch 1 in a process of its own, for its time from the start.
part_step() {
    steps() { bin/Mdm.Bench --only steps --kernels own --steps $STEPS --device "$DEVICE" --tokens $TOKENS "$@"; }
    {
        steps --configs $M64 --sample 1 && steps --configs $M64 --train $TRAIN --sample $SAMPLE && steps --configs $M256 --train $TRAIN256
        "$PYTHON" bench/pytorch/gpu.py $M64 --mode eager --sample 1 --tokens $TOKENS --steps $STEPS
        "$PYTHON" bench/pytorch/gpu.py $M64 --mode eager --train $TRAIN --sample $SAMPLE --tokens $TOKENS --steps $STEPS
        "$PYTHON" bench/pytorch/gpu.py $M256 --mode eager --train $TRAIN256 --tokens $TOKENS --steps $STEPS
    } | tee "$LOGS/step.jsonl" | rows | tee "$LOGS/step.txt"
}

part_compile() {
    {
        "$PYTHON" bench/pytorch/gpu.py $M64 --mode compile --train $TRAIN --sample $SAMPLE --tokens $TOKENS --steps $STEPS
        "$PYTHON" bench/pytorch/gpu.py $M256 --mode compile --train $TRAIN256 --tokens $TOKENS --steps $STEPS
    } | tee "$LOGS/compile.jsonl" | rows | tee "$LOGS/compile.txt"
}

part_graphs() {
    "$PYTHON" bench/pytorch/gpu.py $M64 --mode graphs --train $TRAIN --sample $SAMPLE --tokens $TOKENS --steps $STEPS \
        | tee "$LOGS/graphs.jsonl" | rows | tee "$LOGS/graphs.txt"
}

# Kernels alone at the sizes of the 64x64 model, beside cuBLASLt and cuDNN here, and what PyTorch needs for them.
part_kernels() {
    local sizes=() code=0
    ask() {
        bin/mdm profile --device "$DEVICE" --kernels own --fp16 --kernel "$1" --shape "$2" --json "$LOGS/kernel-$1.json" --top 50 || code=1
        local IFS=,
        for shape in $2; do sizes+=("$1 $shape"); done
    }
    ask MatMul "$MATMUL"
    ask MatMulBackwardWeight "$WEIGHTS"
    for pass in Forward BackwardData BackwardWeight; do ask Conv3x3$pass "$CONV"; done
    for pass in Forward Backward; do ask Attention$pass "$ATTENTION"; ask GroupNorm$pass "$NORM"; done
    ask AdamStep $NUMBERS
    "$PYTHON" bench/pytorch/gpu_kernels.py "${sizes[@]}" > "$LOGS/kernels-peer.jsonl"
    "$PYTHON" bench/pytorch/beside.py "$LOGS" | tee "$LOGS/kernels.txt"
    return $code
}

# The fastest kernel for each shape, measured; the same steps with it, and with the libraries wherever they can.
part_auto() {
    local code=0
    {
        for kernels in auto library; do
            bin/Mdm.Bench --only steps --kernels $kernels --configs $M64 --train ${TRAIN%%,*} --sample $SAMPLE --steps $STEPS \
                --device "$DEVICE" --tokens $TOKENS
        done
    } | tee "$LOGS/auto.jsonl" | rows | tee "$LOGS/auto.txt" || return
    for of in "MatMul $MATMUL" "Conv3x3Forward $CONV" "Conv3x3BackwardData $CONV" "Conv3x3BackwardWeight $CONV"; do
        bin/mdm profile --device "$DEVICE" --kernels auto --fp16 --kernel "${of%% *}" --shape "${of#* }" --json "$LOGS/auto-${of%% *}.json" || code=1
    done
    cp "$MDM_CACHE_DIR"/choices-*.txt "$LOGS"
    echo "  $(grep -hv '^#' "$LOGS"/choices-*.txt | sed 's/.* = //; s/ .*//' | sort | uniq -c | tr -s ' \n' ' ')" | tee -a "$LOGS/auto.txt"
    return $code
}

part_profile() {
    profile() { bin/mdm profile --device "$DEVICE" --kernels own --config-path $M64 --fp16 --tokens $TOKENS "$@"; }
    profile --batch-size $BATCH --json "$LOGS/profile-train.json" --trace "$LOGS/trace-train.json" | tee "$LOGS/profile.txt" || return
    profile --batch-size $BATCH --by shape --top 60 > "$LOGS/profile-shapes.log"
    profile --batch-size 1 --step sample --trace "$LOGS/trace-sample.json" | tee -a "$LOGS/profile.txt"
}

# The model that ships, and a short run that ends with pictures.
part_draw() {
    for folder in shipped again; do
        bin/mdm sample --device "$DEVICE" --sample-dir "$LOGS/$folder" "a large red circle above a small blue square" \
            "a green triangle to the left of a yellow circle" | tee -a "$LOGS/draw.txt" || return
    done
    bin/mdm quickstart --device "$DEVICE" --minutes $MINUTES --output-dir "$LOGS/quickstart" | tee -a "$LOGS/draw.txt" || return
    rm -rf "$LOGS"/quickstart/data "$LOGS"/quickstart/model/*state* "$LOGS"/quickstart/model/*.pth
}

case ${1:-} in
    pack) pack ;;
    run) shift; [ $# -gt 0 ] || set -- "${all[@]}"
        for part in "$@"; do
            declare -F "part_${part%&}" > /dev/null || { echo "no part '$part', expected ${all[*]} or warm&" >&2; exit 2; }
        done
        run "$@" ;;
    *) sed -n '2,22p' "$0" | sed 's/^# \{0,1\}//'; exit 2 ;;
esac
