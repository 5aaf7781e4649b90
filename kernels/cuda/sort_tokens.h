// (token, slot) pairs sorted by expert: what the grouped GEMMs walk over.
#ifndef KERNELS_CUDA_SORT_TOKENS_H_
#define KERNELS_CUDA_SORT_TOKENS_H_

#include <cstdint>

namespace eaq::kernels::cuda {

inline constexpr int64_t kMaxSortedExperts = 1024;

// Where the results go; device memory.
struct SortedTokens {
  int32_t* pair_of_slot;  // [pairs] pair indices, rising within an expert; -1 behind the last one that has an expert
  int32_t* slot_of_pair;  // [pairs] the inverse; -1 for a pair without expert
  int32_t* offsets;       // [experts + 1] expert e's slots are offsets[e] .. offsets[e + 1] - 1
  int32_t* tile_offsets;  // [experts + 1] the same for tiles of `tile_rows` slots; an expert's last tile may be short
};

// int32s of workspace that SortTokens needs.
int64_t SortTokensWorkspace(int64_t pairs, int64_t experts);

// A stable counting sort of pairs 0 .. pairs - 1 (pair = token * k + slot) by expert_of_pair[pair]; ids outside
// 0 .. experts - 1 have no expert. No atomics: the same order in every run, that of a loop over the pairs.
// Chunks of 1024 pairs; a warp finds the lanes with its lane's expert by ballots, one per bit of the id, and counts
// them in a table of its own. Up to 1024 pairs: one launch of one block; beyond: count, scan, scatter. experts 1 ..
// kMaxSortedExperts, pairs < 2^30, tile_rows >= 1. Returns 0, a CUDA error, or 1 (cudaErrorInvalidValue). (The idea of
// ordering without atomics: ggml-org/llama.cpp, ggml-cuda/mmid.cu, which has one warp per expert walk all ids; here
// every id is read twice whatever the number of experts.)
int SortTokens(const int32_t* expert_of_pair, int64_t pairs, int64_t experts, int64_t tile_rows, int32_t* workspace,
               const SortedTokens& sorted, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_SORT_TOKENS_H_
