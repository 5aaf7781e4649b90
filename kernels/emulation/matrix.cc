#include "kernels/emulation/matrix.h"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/bfloat16.h"
#include "kernels/cuda/half.h"
#include "kernels/emulation/block.h"
#include "kernels/emulation/report.h"
#include "kernels/emulation/scheduler.h"
#include "kernels/emulation/warp.h"

namespace eaq::kernels::emulation {
namespace {

struct Row {
  uint32_t words[4];
  const void* address;
};

Counters& CountersOf(const Warp& warp) { return warp.lanes[0]->its_block->scheduler->counters; }

template <int kMatrices, bool kTransposed>
void ComputeLoadMatrix(Warp& warp, unsigned) {
  Counters& counters = CountersOf(warp);
  for (int i = 0; i < kMatrices; ++i) {
    // The eight rows of a matrix are one access of 16 bytes by each of eight lanes: one wavefront if they lie in
    // different banks (16-byte units 0 to 7 of a 128-byte line).
    uintptr_t addresses[32] = {};
    for (int j = 0; j < 8; ++j) addresses[j] = reinterpret_cast<uintptr_t>(In<Row>(warp, 8 * i + j).address);
    counters.ldmatrix_wavefronts += Wavefronts(addresses, 0xff, 16);
  }
  ++counters.ldmatrix;
  counters.ldmatrix_ideal_wavefronts += kMatrices;
  for (int lane = 0; lane < 32; ++lane) {
    auto* out = static_cast<uint32_t*>(warp.lanes[lane]->out);
    for (int i = 0; i < kMatrices; ++i) {
      if (!kTransposed) {
        out[i] = In<Row>(warp, 8 * i + lane / 4).words[lane % 4];
        continue;
      }
      const int column = lane / 4, row = 2 * (lane % 4);
      auto element = [&](int r) { return In<Row>(warp, 8 * i + r).words[column / 2] >> (16 * (column % 2)) & 0xffff; };
      out[i] = element(row) | element(row + 1) << 16;
    }
  }
}

const WarpOperation kLoadMatrix[4] = {
    {"ldmatrix.x4", &ComputeLoadMatrix<4, false>, true, false},
    {"ldmatrix.x4.trans", &ComputeLoadMatrix<4, true>, true, false},
    {"ldmatrix.x2", &ComputeLoadMatrix<2, false>, true, false},
    {"ldmatrix.x2.trans", &ComputeLoadMatrix<2, true>, true, false},
};

// Each lane reads the row that it names, so that sanitizers blame the right thread. Compiled into the kernel's own file
// it would be seen by ThreadSanitizer too; here it is not, so it goes through a call of memcpy, which is.
void LoadMatrix(uint32_t* out, const void* row, bool counts, const WarpOperation& operation, Site site) {
  Thread& thread = RunningIn(operation.name);
  Row in = {};
  in.address = row;
  if (counts) {
    if (reinterpret_cast<uintptr_t>(row) % 16 != 0) {
      Die("%s: the address of a row is no multiple of 16 (%s)", operation.name, ToString(site).c_str());
    }
    if (!thread.its_block->shared.Contains(row, 16)) {
      Die("%s: a row outside shared memory (%s)", operation.name, ToString(site).c_str());
    }
    static void* (*const volatile move)(void*, const void*, size_t) = &std::memcpy;
    move(in.words, row, 16);
  }
  Collective(operation, kWholeWarp, &in, out, site);
}

struct Fragments {
  const uint32_t* a;
  const uint32_t* b;
};

// All 32 lanes' fragments as matrices, elements by decode(register, index in it).
template <int kBits, typename T, typename Decode>
void Gather(const Warp& warp, T (*a)[256 / kBits], T (*b)[8], Decode decode) {
  constexpr int kK = 256 / kBits, kPerRegister = 32 / kBits;
  for (int lane = 0; lane < 32; ++lane) {
    const auto& in = In<Fragments>(warp, lane);
    const int g = lane / 4, first = lane % 4 * kPerRegister;
    for (int r = 0; r < 4; ++r) {
      for (int e = 0; e < kPerRegister; ++e) a[g + 8 * (r % 2)][first + e + kK / 2 * (r / 2)] = decode(in.a[r], e);
    }
    for (int r = 0; r < 2; ++r) {
      for (int e = 0; e < kPerRegister; ++e) b[first + e + kK / 2 * r][g] = decode(in.b[r], e);
    }
  }
}

float Bf16Element(uint32_t bits, int e) { return cuda::ToFloat(cuda::Bf16{static_cast<uint16_t>(bits >> (16 * e))}); }
float HalfElement(uint32_t bits, int e) { return cuda::ToFloat(cuda::Half{static_cast<uint16_t>(bits >> (16 * e))}); }

template <float (*kDecode)(uint32_t, int)>
void MultiplyFloat(const Warp& warp) {
  double a[16][16], b[16][8];
  Gather<16>(warp, a, b, kDecode);
  for (int row = 0; row < 16; ++row) {
    float* d[4];
    double sum[8];
    for (int t = 0; t < 4; ++t) {
      d[t] = &Out<float>(warp, row % 8 * 4 + t) + 2 * (row / 8);
      sum[2 * t] = d[t][0];
      sum[2 * t + 1] = d[t][1];
    }
    for (int k = 0; k < 16; ++k)
      for (int column = 0; column < 8; ++column) sum[column] += a[row][k] * b[k][column];
    for (int t = 0; t < 4; ++t) {
      d[t][0] = static_cast<float>(sum[2 * t]);
      d[t][1] = static_cast<float>(sum[2 * t + 1]);
    }
  }
}

template <int kBits>
void MultiplyInteger(const Warp& warp) {
  constexpr int kK = 256 / kBits;
  int32_t a[16][kK], b[kK][8];
  Gather<kBits>(warp, a, b, [](uint32_t bits, int e) {
    return static_cast<int32_t>(bits << (32 - kBits * (e + 1))) >> (32 - kBits);
  });
  for (int row = 0; row < 16; ++row) {
    int32_t sum[8] = {};
    for (int k = 0; k < kK; ++k)
      for (int column = 0; column < 8; ++column) sum[column] += a[row][k] * b[k][column];
    for (int t = 0; t < 4; ++t) {
      for (int i = 0; i < 2; ++i) {
        int32_t& d = (&Out<int32_t>(warp, row % 8 * 4 + t))[2 * (row / 8) + i];
        d = static_cast<int32_t>(static_cast<uint32_t>(d) + static_cast<uint32_t>(sum[2 * t + i]));
      }
    }
  }
}

void ComputeBf16(Warp& warp, unsigned) {
  ++CountersOf(warp).mma_bf16;
  MultiplyFloat<Bf16Element>(warp);
}
void ComputeF16(Warp& warp, unsigned) {
  ++CountersOf(warp).mma_f16;
  MultiplyFloat<HalfElement>(warp);
}
void ComputeS8(Warp& warp, unsigned) {
  ++CountersOf(warp).mma_s8;
  MultiplyInteger<8>(warp);
}
void ComputeS4(Warp& warp, unsigned) {
  ++CountersOf(warp).mma_s4;
  MultiplyInteger<4>(warp);
}

const WarpOperation kMmaBf16 = {"mma.m16n8k16.bf16", &ComputeBf16, true, false};
const WarpOperation kMmaF16 = {"mma.m16n8k16.f16", &ComputeF16, true, false};
const WarpOperation kMmaS8 = {"mma.m16n8k32.s8", &ComputeS8, true, false};
const WarpOperation kMmaS4 = {"mma.m16n8k64.s4", &ComputeS4, true, false};

template <typename T>
void Mma(const WarpOperation& operation, T (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) {
  const Fragments in = {a, b};
  Collective(operation, kWholeWarp, &in, d, site);
}

}  // namespace

void LoadMatrix4(uint32_t (&r)[4], const void* row, bool transposed, Site site) {
  LoadMatrix(r, row, true, kLoadMatrix[transposed], site);
}
void LoadMatrix2(uint32_t (&r)[2], const void* row, bool transposed, Site site) {
  const bool counts = RunningIn("ldmatrix.x2").lane < 16;
  LoadMatrix(r, row, counts, kLoadMatrix[2 + transposed], site);
}

void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) { Mma(kMmaBf16, d, a, b, site); }
void MmaF16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) { Mma(kMmaF16, d, a, b, site); }
void MmaS8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) { Mma(kMmaS8, d, a, b, site); }
void MmaS4(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) { Mma(kMmaS4, d, a, b, site); }

}  // namespace eaq::kernels::emulation
