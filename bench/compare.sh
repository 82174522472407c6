#!/usr/bin/env bash
# Runs MdmNative's and PyTorch's benchmarks in turns on the same machine with the same number of threads, checks that both compute
# the same numbers, and prints one table. Needs Debian's python3-torch, python3-yaml and libopenblas0-pthread.
#   bench/compare.sh [--quick] [--cpu-time] [--only matmul,conv,memory,step] [--levels avx512,avx2] [--rounds N] [--steps N]
# --quick: one round, few steps, the best instruction set only. --cpu-time: one thread each and processor time instead of the
# clock on the wall, for machines whose cores are busy with other things. PYTHON and THREADS may be set.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-/usr/bin/python3}
threads=${THREADS:-$(nproc)}
groups=matmul,conv,memory,step rounds=3 steps=10 levels=avx512,avx2 timing=()
configs=(configs/quickstart.yaml configs/bench_6m.yaml)
while [ $# -gt 0 ]; do
    case $1 in
        --quick) rounds=1 steps=4 levels=avx512 ;;
        --cpu-time) timing=(--cpu-time) threads=1 ;;
        --only) groups=$2; shift ;;
        --levels) levels=$2; shift ;;
        --rounds) rounds=$2; shift ;;
        --steps) steps=$2; shift ;;
        *) echo "unknown option $1; the head of $0 lists them" >&2; exit 2 ;;
    esac
    shift
done

# Fair to PyTorch: OpenBLAS 0.3.21 knows no processor after 2022 (and an inherited setting may name an older one), and glibc's
# malloc would return and fetch every large array.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
if grep -qw avx512bw /proc/cpuinfo; then export OPENBLAS_CORETYPE=SKYLAKEX; fi
export OMP_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads MDM_THREADS=$threads
export MALLOC_TRIM_THRESHOLD_=4000000000 MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TOP_PAD_=268435456

results=$(mktemp -d)
trap 'rm -r "$results"' EXIT
dotnet build -c Release bench/Mdm.Bench -v quiet --nologo
ours=(dotnet bench/Mdm.Bench/bin/Release/net10.0/Mdm.Bench.dll)

for config in "${configs[@]}"; do
    "${ours[@]}" --only export --configs "$config" --export "$results/step.safetensors" > /dev/null
    echo "$config"
    "$python" bench/pytorch/training_step.py "$config" --check "$results/step.safetensors"
done

# Group by group, one side after the other, so that a change of the machine's mood meets both.
for ((round = 0; round < rounds; round++)); do
    for group in ${groups//,/ }; do
        "${ours[@]}" --only "$group" --level "$levels" --steps "$steps" --configs "$(IFS=,; echo "${configs[*]}")" \
            "${timing[@]}" --json "$results/$group.$round.ours.json" > /dev/null
        if [ "$group" = step ]; then
            "$python" bench/pytorch/training_step.py "${configs[@]}" --steps "$steps" --threads "$threads" "${timing[@]}"
        else
            "$python" bench/pytorch/kernels.py --only "$group" --threads "$threads" "${timing[@]}"
        fi > "$results/$group.$round.theirs.jsonl"
        echo "round $((round + 1)) of $rounds: $group" >&2
    done
done
echo
"$python" bench/pytorch/table.py "$results"
