#!/bin/sh
# gpu_check.sh [ARGUMENTS OF gpu_check...]: builds the kernels and their self-test with nvcc and c++ alone, checks every
# kernel against its twin on this machine's GPU, measures them, and writes one JSON file. Needs nothing but kernels/, this
# script, a CUDA toolkit and a C++20 compiler.
#
#   tools/gpu_check.sh                                   everything
#   tools/gpu_check.sh --filter=GroupedGemm --no-benchmarks
#
# Environment: EAQ_GPU_ARCHS (default 90; e.g. "80 90"), EAQ_GPU_BUILD (folder, default /tmp/eaq_gpu_check), EAQ_GPU_JSON
# (default gpu_check.json in that folder), CUDA_HOME, EAQ_GPU_JOBS (default: all cores). Exit code: gpu_check's, or 3 when the build fails.
set -eu

cd "$(dirname "$0")/.."
build=${EAQ_GPU_BUILD:-/tmp/eaq_gpu_check}
json=${EAQ_GPU_JSON:-$build/gpu_check.json}
jobs=${EAQ_GPU_JOBS:-$(nproc)}
home=${CUDA_HOME:-/usr/local/cuda}
[ -x "$home/bin/nvcc" ] || home=$(dirname "$(dirname "$(readlink -f "$(command -v nvcc || echo /no/bin/nvcc)")")")
[ -x "$home/bin/nvcc" ] || { echo "gpu_check.sh: no nvcc; set CUDA_HOME" >&2; exit 3; }
mkdir -p "$build"

# Kernels of Hopper's own instructions are for sm_90a alone, on whatever machine.
hopper="-gencode arch=compute_90a,code=sm_90a"
gencode=
for arch in ${EAQ_GPU_ARCHS:-90}; do gencode="$gencode -gencode arch=compute_$arch,code=sm_$arch"; done

# cuBLAS is the peer of the benchmarks; without it they run alone.
cublas= libraries=
if [ -e "$home/include/cublas_v2.h" ] && [ -e "$home/lib64/libcublas.so" ]; then
  cublas=-DEAQ_SELFTEST_CUBLAS libraries=-lcublas
else
  echo "gpu_check.sh: no cuBLAS in $home; its rates are left out" >&2
fi

# One line of shell per object. A spill ends the build. -ffp-contract=off, and -fmad as nvcc has it: the kernels' checks
# allow for fused multiply-adds on the device, the twins must not have them.
for source in kernels/cuda/*.cu; do
  case $source in *wgmma* | *hopper*) targets=$hopper ;; *) targets=$gencode ;; esac
  printf '%s\n' "$home/bin/nvcc -c $source -o $build/$(basename "$source").o -std=c++17 -O3 -lineinfo --expt-relaxed-constexpr -Xptxas -warn-spills,-Werror -I. $targets"
done >"$build/commands"
for source in kernels/cuda/*.cc kernels/reference/*.cc kernels/selftest/*.cc kernels/device/arena.cc kernels/device/cuda_device.cc; do
  case $source in *_test.cc | *'*'*) continue ;; esac
  printf '%s\n' "c++ -c $source -o $build/$(basename "$source").o -std=c++20 -O2 -ffp-contract=off -I. -I$home/include $cublas"
done >>"$build/commands"
rm -f "$build"/*.o
start=$(date +%s)
xargs -P "$jobs" -I{} sh -c '{} || { echo "failed: {}" >&2; exit 255; }' <"$build/commands" || exit 3
c++ "$build"/*.o -o "$build/gpu_check" -L"$home/lib64" -Wl,-rpath,"$home/lib64" $libraries -lcudart \
  -Wl,--wrap=__cudaLaunchKernel || exit 3  # kernels/device/cuda_device.cc
echo "gpu_check.sh: built $(grep -c . "$build/commands") files in $(($(date +%s) - start)) s" >&2

code=0
"$build/gpu_check" "$@" >"$json" || code=$?
echo "gpu_check.sh: $json" >&2
exit $code
