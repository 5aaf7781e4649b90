#include "kernels/cuda/grouped_gemm.h"

#include "kernels/cuda/grouped_gemm_formats.h"
#include "kernels/cuda/grouped_wgmma.h"

namespace eaq::kernels::cuda {

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

template <int kWeightBits, int kActivationBits>
int LaunchGroups(const GroupedGemmArguments& a, void* stream) {
  switch (a.group) {
    case 0:
      return LaunchFormat<kWeightBits, kActivationBits, 0>(a, stream);
    case 128:
      return LaunchFormat<kWeightBits, kActivationBits, 1>(a, stream);
    case 64:
      return LaunchFormat<kWeightBits, kActivationBits, 2>(a, stream);
    default:
      return LaunchFormat<kWeightBits, kActivationBits, 4>(a, stream);
  }
}

template <int kActivationBits>
int LaunchMixedGroups(const GroupedGemmArguments& a, void* stream) {
  switch (a.group) {
    case 0:
      return LaunchMixed<kActivationBits, 0>(a, stream);
    case 128:
      return LaunchMixed<kActivationBits, 1>(a, stream);
    case 64:
      return LaunchMixed<kActivationBits, 2>(a, stream);
    default:
      return LaunchMixed<kActivationBits, 4>(a, stream);
  }
}

}  // namespace

int GroupedGemm(GemmFormat format, const GroupedGemmArguments& a, void* stream) {
  if (a.slots == 0) return 0;
  if (!Valid(a)) return kInvalidValue;
  if (IsInteger(format) ? a.x_scales == nullptr : a.x_zeros != nullptr) return kInvalidValue;
  if (NeedsSums(format, false) && a.x_sums == nullptr) return kInvalidValue;
  if (IsInteger(format) && a.group != 0 && a.x_sums_of_brick != 128 / a.group) return kInvalidValue;
  switch (format) {
    case GemmFormat::kW8A8:
      return PrefersWgmma(a) ? GroupedWgmma(a, stream) : LaunchGroups<8, 8>(a, stream);
    case GemmFormat::kW4A8:
      return LaunchGroups<4, 8>(a, stream);
    case GemmFormat::kW4A4:
      return LaunchGroups<4, 4>(a, stream);
    case GemmFormat::kW6A16:
      return LaunchGroups<6, 16>(a, stream);
    case GemmFormat::kW4A16:
      return LaunchGroups<4, 16>(a, stream);
    case GemmFormat::kW3A16:
      return LaunchGroups<3, 16>(a, stream);
    case GemmFormat::kW2A16:
      return LaunchGroups<2, 16>(a, stream);
    case GemmFormat::kMixedA16:
      return LaunchMixedGroups<16>(a, stream);
    case GemmFormat::kMixedA8:
      return LaunchMixedGroups<8>(a, stream);
  }
  return kInvalidValue;
}

}  // namespace eaq::kernels::cuda
