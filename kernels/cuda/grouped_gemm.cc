#include "kernels/cuda/grouped_gemm.h"

#include "kernels/cuda/grouped_wgmma.h"

namespace eaq::kernels::cuda {

// One translation unit each (grouped_gemm_*.cu): they compile side by side.
int GroupedGemmW4A8(const GroupedGemmArguments& a, void* stream);
int GroupedGemmW4A4(const GroupedGemmArguments& a, void* stream);
int GroupedGemmW8A8Small(const GroupedGemmArguments& a, void* stream);  // groups of 64 and 32
int GroupedGemmW4A8Small(const GroupedGemmArguments& a, void* stream);
int GroupedGemmW4A4Small(const GroupedGemmArguments& a, void* stream);
int GroupedGemmW6A16(const GroupedGemmArguments& a, void* stream);
int GroupedGemmW4A16(const GroupedGemmArguments& a, void* stream);
int GroupedGemmW3A16(const GroupedGemmArguments& a, void* stream);
int GroupedGemmW2A16(const GroupedGemmArguments& a, void* stream);
int GroupedGemmW6A16Small(const GroupedGemmArguments& a, void* stream);
int GroupedGemmW4A16Small(const GroupedGemmArguments& a, void* stream);
int GroupedGemmW3A16Small(const GroupedGemmArguments& a, void* stream);
int GroupedGemmW2A16Small(const GroupedGemmArguments& a, void* stream);
int GroupedGemmMixedA16(const GroupedGemmArguments& a, void* stream);
int GroupedGemmMixedA16Small(const GroupedGemmArguments& a, void* stream);
int GroupedGemmMixedA8(const GroupedGemmArguments& a, void* stream);
int GroupedGemmMixedA8Groups(const GroupedGemmArguments& a, void* stream);

namespace {

constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue

bool Valid(const GroupedGemmArguments& a) {
  const bool tile = a.token_tile == 8 || a.token_tile == 16 || a.token_tile == 32 || a.token_tile == 128;
  return tile && a.expert_count >= 1 && a.rows >= 1 && a.rows < (int64_t{1} << 24) && a.cols >= 1 && a.cols <= 32768 &&
         (a.group == 0 || a.group == 128 || a.group == 64 || a.group == 32) && a.slots >= 0 &&
         a.slots < (int64_t{1} << 30) && a.x_row_divisor >= 1 && a.outputs >= 1 &&
         a.outputs <= (a.swiglu ? (a.rows + 15) / 16 * 8 : a.rows) && (a.y == nullptr) != (a.y_bf16 == nullptr) &&
         a.ldy >= a.outputs && a.machine.multiprocessors >= 1 && reinterpret_cast<uintptr_t>(a.x) % 16 == 0 &&
         (a.pair_weights == nullptr || a.pair_of_slot != nullptr);
}

}  // namespace

int GroupedGemm(GemmFormat format, const GroupedGemmArguments& a, void* stream) {
  if (a.slots == 0) return 0;
  if (!Valid(a)) return kInvalidValue;
  if (IsInteger(format) ? a.x_scales == nullptr : a.x_zeros != nullptr) return kInvalidValue;
  if (NeedsSums(format, false) && a.x_sums == nullptr) return kInvalidValue;
  if (IsInteger(format) && a.group != 0 && a.x_sums_of_brick != 128 / a.group) return kInvalidValue;
  const bool small = a.group == 32 || a.group == 64;
  switch (format) {
    case GemmFormat::kW8A8:
      if (PrefersWgmma(a)) return GroupedWgmma(a, stream);
      return small ? GroupedGemmW8A8Small(a, stream) : GroupedGemmW8A8(a, stream);
    case GemmFormat::kW4A8:
      return small ? GroupedGemmW4A8Small(a, stream) : GroupedGemmW4A8(a, stream);
    case GemmFormat::kW4A4:
      return small ? GroupedGemmW4A4Small(a, stream) : GroupedGemmW4A4(a, stream);
    case GemmFormat::kW6A16:
      return small ? GroupedGemmW6A16Small(a, stream) : GroupedGemmW6A16(a, stream);
    case GemmFormat::kW4A16:
      return small ? GroupedGemmW4A16Small(a, stream) : GroupedGemmW4A16(a, stream);
    case GemmFormat::kW3A16:
      return small ? GroupedGemmW3A16Small(a, stream) : GroupedGemmW3A16(a, stream);
    case GemmFormat::kMixedA16:
      return small ? GroupedGemmMixedA16Small(a, stream) : GroupedGemmMixedA16(a, stream);
    case GemmFormat::kMixedA8:
      return a.group != 0 ? GroupedGemmMixedA8Groups(a, stream) : GroupedGemmMixedA8(a, stream);
    case GemmFormat::kW2A16:
      return small ? GroupedGemmW2A16Small(a, stream) : GroupedGemmW2A16(a, stream);
  }
  return kInvalidValue;
}

}  // namespace eaq::kernels::cuda
